"""From key names and shapes to an `AdapterSpec`, or to a sentence that says what is wrong with the file."""

import re

from ..errors import CheckpointError
from .formats import Format
from .layouts import Layout, nearest_layout
from .spec import AdapterSpec, BaseModel, LayerSpec, Shapes

PROJECTOR = "image_proj."
LAYERS = "ip_adapter."
LORA = "lora."
LAYER_KEY = re.compile(r"(\d+)\.(.+)")
LORA_KEY = re.compile(r"blocks\.\d+\.((self|cross)_attn\.(q|k|v|output)_proj|mlp\.layer[12])\.lora_[AB]\.weight")
EXPECTED = (
    "an IP-Adapter holds an image projector (image_proj) and key/value projections (ip_adapter or adapter_modules)"
)
LOAD_NODE = "choose another file in Load IP-Adapter"

UNSUPPORTED_OPTIONS = ("ip_norm_keys", "ip_inject_before_mlp")  # of LuciferTC's trainer, in a file's metadata
BASE_MODELS = {(768, 16): BaseModel.SD15, (2048, 70): BaseModel.SDXL}


def detect(shapes: Shapes, file: str) -> AdapterSpec:
    """Describes an adapter from its flat key names and shapes.

    `shapes` maps canonical keys (`image_proj.*`, `ip_adapter.*`, `lora.*`) to tensor shapes. Tensors are not looked at.
    Raises `CheckpointError` for unknown layouts, missing or unknown keys.
    """
    projector, lora = _below(PROJECTOR, shapes), _below(LORA, shapes)
    layout, layers, context_width = _layers(_below(LAYERS, shapes), file)
    if not projector and all(row.signature for row in layout.formats):
        raise CheckpointError(f"{file}: no image projector found; {EXPECTED}: {LOAD_NODE}")
    unknown = [key for key in shapes if not key.startswith((PROJECTOR, LAYERS, LORA))]
    unknown += [LORA + key for key in lora if not (layout.lora and LORA_KEY.fullmatch(key))]
    if unknown:
        raise CheckpointError(f"{file}: unknown keys {_some(sorted(unknown))}; {EXPECTED}: {LOAD_NODE}")
    found = _format(layout, projector, file)
    return AdapterSpec(
        file=file,
        format=found.name,
        base=layout.base or BASE_MODELS.get((context_width, len(layers)), BaseModel.OTHER),
        projector=found.measure(projector, context_width),
        layers=layers,
        layer_kind=layout.kind,
    )


def check_metadata(metadata: dict[str, str], file: str) -> None:
    """Raises `CheckpointError` for training options that leave no trace in the tensors and change what they compute."""
    found = [name for name in UNSUPPORTED_OPTIONS if metadata.get(name, "").lower() == "true"]
    if found:
        raise CheckpointError(
            f"{file}: trained with {' and '.join(found)}, expected an adapter for Anima without: {LOAD_NODE}"
        )


def _below(prefix: str, shapes: Shapes) -> Shapes:
    return {key[len(prefix) :]: shape for key, shape in shapes.items() if key.startswith(prefix)}


def _format(layout: Layout, projector: Shapes, file: str) -> Format:
    fitting = [
        row for row in layout.formats if row.signature <= projector.keys() and bool(row.signature) == bool(projector)
    ]
    if len(fitting) != 1:
        known = ", ".join(row.name for row in layout.formats)
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
