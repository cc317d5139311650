"""From key names and shapes to an `AdapterSpec`, or to a sentence that says what is wrong with the file."""

import re
from dataclasses import replace

from ..errors import CheckpointError
from .face_formats import FACE_FORMATS
from .formats import FORMATS, Format
from .layouts import LAYERS, LORA_KEY, PROJECTOR
from .spec import AdapterSpec, BaseModel, LayerSpec, ProjectorSpec, Shapes

KNOWN = FORMATS + FACE_FORMATS
LAYER_KEY = re.compile(r"(\d+)\.to_([kv])_ip\.weight")
EXPECTED = (
    "an IP-Adapter holds an image projector (image_proj) and key/value projections (ip_adapter or adapter_modules)"
)
LOAD_NODE = "choose another file in Load IP-Adapter"

DOWN_LAYERS, UP_LAYERS = 24, 36  # of SDXL
BASE_MODELS = {(768, 16): BaseModel.SD15, (2048, 70): BaseModel.SDXL}


def detect(shapes: Shapes, file: str) -> AdapterSpec:
    """Describes an adapter from its flat key names and shapes.

    `shapes` maps keys that start with `image_proj.` or `ip_adapter.` to tensor shapes. Tensors are not looked at.
    Raises `CheckpointError` for unknown layouts, missing or unknown keys.
    """
    projector = _below(PROJECTOR, shapes)
    lora = {key: shape for key, shape in shapes.items() if LORA_KEY.fullmatch(key)}
    layers, text_width = _layers(_below(LAYERS, {key: shapes[key] for key in shapes if key not in lora}), file)
    if not projector:
        raise CheckpointError(f"{file}: no image projector found; {EXPECTED}: {LOAD_NODE}")
    unknown = sorted(key for key in shapes if not key.startswith((PROJECTOR, LAYERS)))
    if unknown:
        raise CheckpointError(f"{file}: unknown keys {_some(unknown)}; {EXPECTED}: {LOAD_NODE}")
    found = _format(projector, file)
    measured = found.measure(projector, text_width)
    return AdapterSpec(
        file=file,
        format=found.name,
        base=found.base or BASE_MODELS.get((text_width, len(layers)), BaseModel.OTHER),
        projector=measured,
        layers=_divided(layers, measured, file) if measured.parts else layers,
        text_width=text_width,
        lora_rank=_lora_rank(lora, len(layers), file),
    )


def _divided(layers: tuple[LayerSpec, ...], projector: ProjectorSpec, file: str) -> tuple[LayerSpec, ...]:
    """CSGO's layers: those of the down blocks read the content's tokens, those of the up blocks the style's."""
    if len(layers) != DOWN_LAYERS + UP_LAYERS:
        raise CheckpointError(
            f"{file}: {len(layers)} layers found, expected the {DOWN_LAYERS} of SDXL's down and the {UP_LAYERS} of its up "
            f"blocks: download it again or {LOAD_NODE}"
        )
    content = (0, projector.parts[0].tokens)
    style = (projector.parts[0].tokens, projector.tokens)
    return tuple(replace(layer, tokens=content if i < DOWN_LAYERS else style) for i, layer in enumerate(layers))


def _lora_rank(lora: Shapes, layers: int, file: str) -> int:
    """The rank of the LoRA for self- and cross-attention that FaceID files carry; 0 without one."""
    if not lora:
        return 0
    names = [f"to_{part}_lora.{way}.weight" for part in ("q", "k", "v", "out") for way in ("down", "up")]
    expected = {f"{LAYERS}{number}.{name}" for number in range(2 * layers) for name in names}
    if lora.keys() != expected:
        gap = sorted(expected ^ lora.keys())
        raise CheckpointError(
            f"{file}: {len(lora)} LoRA keys found, such as {next(iter(lora))}, {len(expected)} expected; LoRA keys "
            f"{_some(gap)} are missing or unknown: download it again or {LOAD_NODE}"
        )
    return lora[f"{LAYERS}0.to_q_lora.down.weight"][0]


def _below(prefix: str, shapes: Shapes) -> Shapes:
    return {key[len(prefix) :]: shape for key, shape in shapes.items() if key.startswith(prefix)}


def _format(projector: Shapes, file: str) -> Format:
    fitting = [row for row in KNOWN if row.signature <= projector.keys() and row.fits(projector)]
    if len(fitting) != 1:
        known = ", ".join(row.name for row in KNOWN)
        raise CheckpointError(
            f"{file}: unknown image projector with keys {_some(sorted(projector))}; known kinds are {known}: {LOAD_NODE}"
        )
    return fitting[0]


def _layers(shapes: Shapes, file: str) -> tuple[tuple[LayerSpec, ...], int]:
    """The layers in file order, and the width of the image tokens that they all read."""
    matches = {key: LAYER_KEY.fullmatch(key) for key in shapes}
    unknown = sorted(key for key, match in matches.items() if match is None)
    if unknown:
        raise CheckpointError(f"{file}: unknown keys {_some([LAYERS + key for key in unknown])}: {LOAD_NODE}")
    numbers = sorted({int(match[1]) for match in matches.values() if match})
    if not numbers:
        raise CheckpointError(f"{file}: no key/value projections found; {EXPECTED}: {LOAD_NODE}")
    expected = {f"{number}.to_{kind}_ip.weight" for number in numbers for kind in "kv"}
    missing = sorted(expected - shapes.keys())
    if missing or numbers != list(range(1, 2 * len(numbers), 2)):
        gap = missing or [f"{n}.to_k_ip.weight" for n in range(1, numbers[-1], 2) if n not in numbers]
        raise CheckpointError(f"{file}: keys {_some([LAYERS + key for key in gap])} are missing, the file looks damaged: "
                              f"download it again or {LOAD_NODE}")  # fmt: skip
    context_width = shapes["1.to_k_ip.weight"][1]
    for key, shape in shapes.items():
        if len(shape) != 2 or shape[1] != context_width:
            raise CheckpointError(
                f"{file}: {LAYERS}{key} has shape {shape}, expected [width, {context_width}]: {LOAD_NODE}"
            )
    return tuple(LayerSpec(number, shapes[f"{number}.to_k_ip.weight"][0]) for number in numbers), context_width


def _some(keys: list[str], limit: int = 3) -> str:
    return ", ".join(keys[:limit]) + (f" and {len(keys) - limit} more" if len(keys) > limit else "")
