"""The true shapes of the layers that attend to image tokens, family by family, and the cases that each is tried with."""

from collections.abc import Iterator
from typing import NamedTuple

from ..bench.scenes import SCENES, Layer, Scene

KOLORS_TEXT = 256  # tokens of ChatGLM3
ANIMA_TEXT = 512
TOKENS = (1, 4, 16, 128, 257)
USUAL, MOST = 16, 4  # tokens and adapters where something else is varied


class Shape(NamedTuple):
    """One kind of layer: latent tokens, text tokens (0 where the text's part is not ours to compute), heads and their width.

    `own_keys`: how many of the image's own keys are attended to beside the adapter's, as SD3.5 does; `by_heads`: whether
    the model has its queries by heads.
    """

    family: str
    name: str
    length: int
    text: int
    heads: int
    width: int
    own_keys: int = 0
    by_heads: bool = False


class Case(NamedTuple):
    """What one layer attends to: tokens of each adapter, adapters, and what multiplies them."""

    tokens: int
    adapters: int = 1
    mask: bool = False
    schedule: bool = False
    frames: int = 1

    @property
    def name(self) -> str:
        """Short, for tables."""
        parts = [f"{self.tokens} tokens", f"{self.adapters} adapters" if self.adapters > 1 else ""]
        parts += ["mask" if self.mask else "", "schedule" if self.schedule else ""]
        return ", ".join(part for part in (*parts, f"{self.frames} frames" if self.frames > 1 else "") if part)


def cases() -> Iterator[Case]:
    """Every number of tokens and of adapters, and every switch."""
    yield from (Case(tokens) for tokens in TOKENS)
    yield from (Case(USUAL, adapters) for adapters in range(2, MOST + 1))
    yield from (Case(USUAL, mask=True), Case(USUAL, schedule=True), Case(USUAL, frames=2))
    yield Case(USUAL, MOST, mask=True, schedule=True)


def shapes(tiny: bool) -> list[Shape]:
    """All families' layers; `tiny` keeps heads, widths and text, and few latent tokens."""
    found = [_of_bench(scene, layer) for scene in SCENES for layer in scene.layers if scene.pixels in (512, 1024)]
    found += [one._replace(family="Kolors", text=KOLORS_TEXT) for one in found if one.family == "SDXL"]
    found.append(Shape("SD3.5 Large", "joint 64x64x2432", 4096, 0, 38, 64, own_keys=4096))
    found.append(Shape("Anima", "cross 64x64x2048", 4096, 0, 16, 128))
    return [one._replace(length=48, own_keys=min(one.own_keys, 48), heads=2) for one in found] if tiny else found


def _of_bench(scene: Scene, layer: Layer) -> Shape:
    if scene.model != "FLUX":
        return Shape(scene.model, layer.name, layer.tokens, layer.text, layer.heads, layer.width // layer.heads)
    length = layer.tokens + (layer.text if layer.block[0] == "single" else 0)
    return Shape("FLUX", layer.name, length, 0, layer.heads, layer.width // layer.heads, by_heads=True)
