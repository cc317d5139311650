"""From key names and shapes to an `AdapterSpec`, or to a sentence that says what is wrong with the file."""

import re
from dataclasses import replace

from ..errors import CheckpointError
from .formats import PERCEIVER_HEADS, Format
from .key_names import FACE_LORA_KEY
from .layouts import Layout, nearest_layout
from .spec import AdapterSpec, BaseModel, LayerSpec, ProjectorSpec, Shapes

PROJECTOR = "image_proj."
LAYERS = "ip_adapter."
LORA = "lora."
LAYER_KEY = re.compile(r"(\d+)\.(.+)")
LORA_KEY = re.compile(r"blocks\.\d+\.((self|cross)_attn\.(q|k|v|output)_proj|mlp\.layer[12])\.lora_[AB]\.weight")
EXPECTED = (
    "an IP-Adapter holds an image projector (image_proj) and key/value projections (ip_adapter or adapter_modules)"
)
LOAD_NODE = "choose another file in Load IP-Adapter"

DOWN_LAYERS, UP_LAYERS = 24, 36  # of SDXL
TRAINED_WITH = {  # options that trainers for Anima write into a file's metadata, and the values that we compute
    "ip_norm_keys": ("false",), "ip_inject_before_mlp": ("false",), "ss_resampler_heads": (str(PERCEIVER_HEADS),),
    "ss_ip_scale": ("1", "1.0"), "ss_pe_lora_enabled": ("false",),
}  # fmt: skip
BASE_MODELS = {(768, 16): BaseModel.SD15, (2048, 70): BaseModel.SDXL}


def detect(shapes: Shapes, file: str) -> AdapterSpec:
    """Describes an adapter from its flat key names and shapes.

    `shapes` maps canonical keys (`image_proj.*`, `ip_adapter.*`, `lora.*`) to tensor shapes. Tensors are not looked at.
    Raises `CheckpointError` for unknown layouts, missing or unknown keys.
    """
    projector, lora = _below(PROJECTOR, shapes), _below(LORA, shapes)
    face_lora = {key: shape for key, shape in shapes.items() if FACE_LORA_KEY.fullmatch(key)}
    others = {key: shape for key, shape in shapes.items() if key not in face_lora}
    layout, layers, text_width = _layers(_below(LAYERS, others), file)
    if not projector and all(row.signature for row in layout.formats):
        raise CheckpointError(f"{file}: no image projector found; {EXPECTED}: {LOAD_NODE}")
    unknown = [key for key in shapes if not key.startswith((PROJECTOR, LAYERS, LORA))]
    unknown += [LORA + key for key in lora if not (layout.lora and LORA_KEY.fullmatch(key))]
    if unknown:
        raise CheckpointError(f"{file}: unknown keys {_some(sorted(unknown))}; {EXPECTED}: {LOAD_NODE}")
    found = _format(layout, projector, file)
    measured = found.measure(projector, text_width)
    return AdapterSpec(
        file=file,
        format=found.name,
        base=layout.base or found.base or BASE_MODELS.get((text_width, len(layers)), BaseModel.OTHER),
        projector=measured,
        layers=_divided(layers, measured, file) if measured.parts else layers,
        text_width=text_width,
        lora_rank=_lora_rank(face_lora, len(layers), file),
        layer_kind=layout.kind,
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


def check_metadata(metadata: dict[str, str], file: str) -> None:
    """Raises `CheckpointError` for training options that leave no trace in the tensors and change what they compute."""
    found = [f"{name} {metadata[name]}" for name, known in TRAINED_WITH.items() if _other(metadata.get(name), known)]
    if found:
        raise CheckpointError(
            f"{file}: trained with {' and '.join(found)}, expected an adapter for Anima without: {LOAD_NODE}"
        )


def _other(value: str | None, known: tuple[str, ...]) -> bool:
    return value is not None and value.lower() not in known


def _below(prefix: str, shapes: Shapes) -> Shapes:
    return {key[len(prefix) :]: shape for key, shape in shapes.items() if key.startswith(prefix)}


def _format(layout: Layout, projector: Shapes, file: str) -> Format:
    fitting = [
        row
        for row in layout.formats
        if row.signature <= projector.keys() and bool(row.signature) == bool(projector) and row.fits(projector)
    ]
    if len(fitting) != 1:
        known = ", ".join(dict.fromkeys(row.name for row in layout.formats))
        raise CheckpointError(
            f"{file}: layers of {layout.name} with an unknown image projector, keys {_some(sorted(projector))}; known kinds "
            f"are {known}: {LOAD_NODE}"
        )
    return fitting[0]


def _layers(shapes: Shapes, file: str) -> tuple[Layout, tuple[LayerSpec, ...], int]:
    """The layout, its layers in file order, and the width of the image tokens that they all read."""
    matches = {key: match for key in shapes if (match := LAYER_KEY.fullmatch(key))}
    numbers = sorted({int(match[1]) for match in matches.values()})
    if not numbers:
        raise CheckpointError(f"{file}: no key/value projections found; {EXPECTED}: {LOAD_NODE}")
    layout = nearest_layout(numbers, {match[2] for match in matches.values()})
    unknown = sorted(key for key in shapes if key not in matches or matches[key][2] not in layout.parts)
    if unknown:
        raise CheckpointError(f"{file}: unknown keys {_some([LAYERS + key for key in unknown])}: {LOAD_NODE}")
    expected = [
        f"{n}.{part}" for n in range(layout.first, numbers[-1] + 1, layout.step) for part in sorted(layout.parts)
    ]
    missing = [LAYERS + key for key in expected if key not in shapes]
    if missing:
        raise CheckpointError(f"{file}: keys {_some(missing)} are missing, the file looks damaged: "
                              f"download it again or {LOAD_NODE}")  # fmt: skip
    context_width = shapes[f"{numbers[0]}.to_k_ip.weight"][-1]
    for key, shape in shapes.items():
        if key.endswith("_ip.weight") and (len(shape) != 2 or shape[1] != context_width):
            raise CheckpointError(
                f"{file}: {LAYERS}{key} has shape {shape}, expected [width, {context_width}]: {LOAD_NODE}"
            )
    return layout, tuple(LayerSpec(number, shapes[f"{number}.to_k_ip.weight"][0]) for number in numbers), context_width


def _some(keys: list[str], limit: int = 3) -> str:
    return ", ".join(keys[:limit]) + (f" and {len(keys) - limit} more" if len(keys) > limit else "")
