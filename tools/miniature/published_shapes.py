"""Key-and-shape tables of the published adapter files, built from their sizes; parameter counts are the files' own."""

from typing import NamedTuple

Shapes = dict[str, tuple[int, ...]]

SD15_WIDTHS = [320, 320, 640, 640, 1280, 1280] + [1280] * 3 + [640] * 3 + [320] * 3 + [1280]
SDXL_WIDTHS = [640] * 4 + [1280] * 20 + [1280] * 30 + [640] * 6 + [1280] * 10


class Published(NamedTuple):
    """A file: its layout, what must be found in it, and its number of parameters in millions."""

    shapes: Shapes
    base: str
    format: str
    tokens: int
    encoder: str
    millions: float


def layers(widths: list[int], context: int) -> Shapes:
    """The key and value projections."""
    return {
        f"ip_adapter.{2 * n + 1}.to_{part}_ip.weight": (width, context)
        for n, width in enumerate(widths)
        for part in "kv"
    }


def linear(feature: int, tokens: int, context: int) -> Shapes:
    """The base projector."""
    return {"image_proj.proj.weight": (tokens * context, feature), "image_proj.proj.bias": (tokens * context,),
            "image_proj.norm.weight": (context,), "image_proj.norm.bias": (context,)}  # fmt: skip


def mlp(feature: int, context: int) -> Shapes:
    """The full-face projector."""
    sizes = {"0": (feature, feature), "2": (context, feature)}
    shapes: Shapes = {f"image_proj.proj.{name}.weight": shape for name, shape in sizes.items()}
    shapes |= {f"image_proj.proj.{name}.bias": shape[:1] for name, shape in sizes.items()}
    return shapes | {f"image_proj.proj.3.{part}": (context,) for part in ("weight", "bias")}


def resampler(feature: int, tokens: int, width: int, heads: int, context: int) -> Shapes:
    """The plus projector, four layers deep."""
    inner = 64 * heads
    shapes: Shapes = {
        "latents": (1, tokens, width), "proj_in.weight": (width, feature), "proj_in.bias": (width,),
        "proj_out.weight": (context, width), "proj_out.bias": (context,), "norm_out.weight": (context,),
        "norm_out.bias": (context,),
    }  # fmt: skip
    for layer in range(4):
        attention, transition = f"layers.{layer}.0", f"layers.{layer}.1"
        shapes |= {f"{attention}.{norm}.{part}": (width,) for norm in ("norm1", "norm2") for part in ("weight", "bias")}
        shapes |= {f"{attention}.to_q.weight": (inner, width), f"{attention}.to_kv.weight": (2 * inner, width),
                   f"{attention}.to_out.weight": (width, inner), f"{transition}.0.weight": (width,),
                   f"{transition}.0.bias": (width,), f"{transition}.1.weight": (4 * width, width),
                   f"{transition}.3.weight": (width, 4 * width)}  # fmt: skip
    return {f"image_proj.{key}": shape for key, shape in shapes.items()}


SD15, SDXL = layers(SD15_WIDTHS, 768), layers(SDXL_WIDTHS, 2048)
H, G = "CLIP ViT-H/14 (laion2B)", "CLIP ViT-bigG/14 (laion2B)"

PUBLISHED = {
    "ip-adapter_sd15": Published(linear(1024, 4, 768) | SD15, "SD1.5", "base", 4, H, 22.32),
    "ip-adapter_sd15_light": Published(linear(1024, 4, 768) | SD15, "SD1.5", "base", 4, H, 22.32),
    "ip-adapter_sd15_vit-G": Published(linear(1280, 4, 768) | SD15, "SD1.5", "base", 4, G, 23.11),
    "ip-adapter-plus_sd15": Published(resampler(1280, 16, 768, 12, 768) | SD15, "SD1.5", "plus", 16, H, 49.09),
    "ip-adapter-plus-face_sd15": Published(resampler(1280, 16, 768, 12, 768) | SD15, "SD1.5", "plus", 16, H, 49.09),
    "ip_plus_composition_sd15": Published(resampler(1280, 16, 768, 12, 768) | SD15, "SD1.5", "plus", 16, H, 49.09),
    "ip-adapter-full-face_sd15": Published(mlp(1280, 768) | SD15, "SD1.5", "full face", 0, H, 21.79),
    "ip-adapter_sdxl": Published(linear(1280, 4, 2048) | SDXL, "SDXL", "base", 4, G, 351.29),
    "ip-adapter_sdxl_vit-h": Published(linear(1024, 4, 2048) | SDXL, "SDXL", "base", 4, H, 349.19),
    "ip-adapter-plus_sdxl_vit-h": Published(resampler(1280, 16, 1280, 20, 2048) | SDXL, "SDXL", "plus", 16, H, 423.75),
    "ip_plus_composition_sdxl": Published(resampler(1280, 16, 1280, 20, 2048) | SDXL, "SDXL", "plus", 16, H, 423.75),
    "noobIPAMARK1_mark1": Published(linear(1280, 4, 2048) | SDXL, "SDXL", "base", 4, G, 351.29),
    "noob plus bigG finetune": Published(resampler(1664, 16, 1280, 20, 2048) | SDXL, "SDXL", "plus", 16, G, 424.24),
}
