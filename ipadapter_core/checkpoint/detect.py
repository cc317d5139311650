"""From key names and shapes to an `AdapterSpec`, or to a sentence that says what is wrong with the file."""

import re
from dataclasses import replace

from ..errors import CheckpointError
from ..limits import LAYERS as HIGHEST
from ..quoting import listed, quoted
from .enums import BaseModel
from .formats import NUMBER, Format, Layout, too_large
from .key_names import FACE_LORA_KEY, LAYERS, LORA, PROJECTOR
from .layouts import nearest_layout
from .spec import AdapterSpec, FileNumber, LayerSpec, ProjectorSpec, Shapes

LAYER_KEY = re.compile(rf"({NUMBER})\.(.+)")
EXPECTED = (
    "an IP-Adapter holds an image projector (image_proj) and key/value projections (ip_adapter or adapter_modules)"
)
LOAD_NODE = "choose another file in Load IP-Adapter"
NAMED_KEYS = 3  # that a message names

DOWN_LAYERS, UP_LAYERS = 24, 36  # of SDXL
BASE_MODELS = {(768, 16): BaseModel.SD15, (2048, 70): BaseModel.SDXL}


def detect(shapes: Shapes, file: str, metadata: dict[str, str] | None = None) -> AdapterSpec:
    """Describes an adapter from its flat key names and shapes.

    `shapes` maps canonical keys (`image_proj.*`, `ip_adapter.*`, `lora.*`) to tensor shapes. Tensors are not looked at.
    Raises `CheckpointError` for unknown layouts, missing or unknown keys, and options in the metadata that we do not compute.
    """
    file = quoted(file)
    empty = [key for key, shape in shapes.items() if 0 in shape]
    if empty:
        raise CheckpointError(f"{file}: {_some(empty)} hold no numbers, the file looks damaged: {LOAD_NODE}")
    projector = _below(PROJECTOR, shapes)
    face_lora = {key: shape for key, shape in shapes.items() if FACE_LORA_KEY.fullmatch(key)}
    others = {key: shape for key, shape in shapes.items() if key not in face_lora}
    layout, layers, text_width = _layers(_below(LAYERS, others), file)
    if not projector and all(row.signature for row in layout.formats):
        raise CheckpointError(f"{file}: no image projector found; {EXPECTED}: {LOAD_NODE}")
    _check_known(shapes, layout, file)
    _check_options(layout, metadata or {}, file)
    found = _format(layout, projector, file)
    measured = found.measure(projector, text_width)
    if too_large(measured):
        raise CheckpointError(f"{file}: an image projector of sizes that no model reads: {LOAD_NODE}")
    return AdapterSpec(
        file=file,
        format=found.name,
        base=layout.base or found.base or BASE_MODELS.get((text_width, len(layers)), BaseModel.OTHER),
        projector=measured,
        layers=_divided(layers, measured, file) if measured.parts else layers,
        text_width=text_width,
        lora_rank=_lora_rank(face_lora, layers, file),
        layer_kind=layout.kind,
    )


def _check_known(shapes: Shapes, layout: Layout, file: str) -> None:
    unknown = [key for key in shapes if not key.startswith((PROJECTOR, LAYERS, LORA))]
    lora = [key for key in shapes if key.startswith(LORA)]
    unknown += [key for key in lora if layout.lora is None or not layout.lora.fullmatch(key.removeprefix(LORA))]
    if unknown:
        raise CheckpointError(f"{file}: unknown keys {_some(sorted(unknown))}; {EXPECTED}: {LOAD_NODE}")


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


def _lora_rank(lora: Shapes, layers: tuple[LayerSpec, ...], file: str) -> int:
    """The rank of the LoRA that face files carry, for self- and cross-attention or cross-attention alone; 0 without one."""
    if not lora:
        return 0
    names = [f"to_{part}_lora.{way}.weight" for part in ("q", "k", "v", "out") for way in ("down", "up")]
    numbers = range(2 * len(layers))
    if all(int(key.split(".")[1]) % 2 for key in lora):
        numbers = numbers[1::2]
    expected = {f"{LAYERS}{number}.{name}" for number in numbers for name in names}
    if lora.keys() != expected:
        gap = sorted(expected ^ lora.keys())
        raise CheckpointError(
            f"{file}: {len(lora)} LoRA keys found, such as {next(iter(lora))}, {len(expected)} expected; LoRA keys "
            f"{_some(gap)} are missing or unknown: download it again or {LOAD_NODE}"
        )
    rank = (*lora[f"{LAYERS}{numbers[0]}.to_q_lora.down.weight"], 0)[0]
    widths = {f"{LAYERS}{number}.": layers[number // 2].width for number in numbers}
    for key, shape in lora.items():
        part = key[: key.index(".", len(LAYERS)) + 1]
        fits = shape[1:] == (rank,) and shape[0] == widths[part] if ".up." in key else shape[:1] == (rank,)
        if len(shape) != 2 or not fits:
            raise CheckpointError(f"{file}: {key} has shape {quoted(shape)}, expected rank {rank}: {LOAD_NODE}")
    return rank


def _check_options(layout: Layout, metadata: dict[str, str], file: str) -> None:
    """Raises for training options that leave no trace in the tensors and change what they compute."""
    found = [
        f"{name} {quoted(metadata[name])}"
        for name, known in layout.options.items()
        if name in metadata and metadata[name].lower() not in known
    ]
    if found:
        raise CheckpointError(
            f"{file}: trained with {' and '.join(found)}, expected an adapter for {layout.name} without: {LOAD_NODE}"
        )


def _below(prefix: str, shapes: Shapes) -> Shapes:
    return {key[len(prefix) :]: shape for key, shape in shapes.items() if key.startswith(prefix)}


def _format(layout: Layout, projector: Shapes, file: str) -> Format:
    fitting = [row for row in layout.formats if row.matches(projector)]
    if len(fitting) != 1:
        known = ", ".join(dict.fromkeys(str(row.name) for row in layout.formats))
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
    if numbers[-1] > HIGHEST:
        raise CheckpointError(f"{file}: a layer of number {numbers[-1]}, at most {HIGHEST} are read: {LOAD_NODE}")
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
    first = shapes[f"{numbers[0]}.{layout.reads[0]}"]
    context_width = first[1] if len(first) == 2 else 0
    for key, shape in shapes.items():
        _check_shape(key, shape, matches[key][2], layout, context_width, file)
    return layout, tuple(_layer(number, shapes, layout) for number in numbers), context_width


def _check_shape(key: str, shape: tuple[int, ...], part: str, layout: Layout, context_width: int, file: str) -> None:
    """Raises where a layer's matrix does not read the image tokens' width, or its registers are no such tokens."""
    width = context_width if part in layout.reads else None
    matrix = part in (*layout.reads, layout.ends, layout.asks)
    expected = ""
    if matrix and (len(shape) != 2 or shape[1] != (width or shape[1])):
        expected = f"[width, {width or 'width'}]"
    elif part == layout.appends and (len(shape) != 3 or shape[::2] != (1, context_width)):
        expected = f"[1, tokens, {context_width}]"
    if expected:
        raise CheckpointError(f"{file}: {LAYERS}{key} has shape {quoted(shape)}, expected {expected}: {LOAD_NODE}")


def _layer(number: int, shapes: Shapes, layout: Layout) -> LayerSpec:
    inner = shapes[f"{number}.{layout.asks}"][0] if layout.asks else 0
    registers = shapes[f"{number}.{layout.appends}"][1] if layout.appends else 0
    return LayerSpec(FileNumber(number), shapes[f"{number}.{layout.ends}"][0], inner=inner, registers=registers)


def _some(keys: list[str]) -> str:
    return listed(keys, NAMED_KEYS)
