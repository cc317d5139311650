"""From a preset and a model to the files that are meant: by what is in them, by their names only among equals."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..checkpoint.enums import BaseModel
from ..checkpoint.features import FEATURES
from ..checkpoint.spec import AdapterSpec
from ..encoders.sizes import EncoderSizes
from ..errors import PresetError
from ..quoting import listed, quoted
from .catalogue import ENCODER_FILES, FACE_MODELS, MEANINGS, Preset, PresetSpec
from .identify import FileKind, encoder_fits, identify, known_adapters, needs_encoder

NEAR = 4  # near matches that a message names


class ModelSizes(NamedTuple):
    """What a model's cross-attention tells: layer widths in file order, the text's width, whether it is Kolors."""

    widths: tuple[int, ...]
    text_width: int
    kolors: bool = False


class Selection(NamedTuple):
    """The chosen files, and why, in words."""

    adapter: Path
    spec: AdapterSpec
    encoder: Path | None
    face_models: str | None
    report: str


def select(preset: Preset, model: ModelSizes, adapters: Iterable[Path], encoders: Iterable[Path]) -> Selection:
    """Finds a preset's files among those given; raises `PresetError` with what to download when one is missing."""
    meaning = MEANINGS[preset]
    adapters, encoders = list(adapters), list(encoders)
    known = known_adapters(adapters)
    fitting = sorted(
        ((path, spec) for path, spec in known if means(spec, meaning) and _fits(spec, model)),
        key=lambda pair: preference(pair[0], meaning),
    )
    if not fitting:
        raise PresetError(_missing_adapter(preset, model, known))
    path, spec = fitting[0]
    lines = [f"adapter: {quoted(path.name)}: {spec.base.value} {spec.format} by its tensors{_why(fitting, meaning)}"]
    encoder = None
    if needs_encoder(spec):
        encoder, said = _encoder(spec, encoders)
        lines.append(said)
    face_models = FACE_MODELS.get(spec.base, "buffalo_l") if FEATURES[spec.projector.feature].from_faces else None
    if face_models:
        lines.append(f"faces: {face_models}")
        lines.append(f"LoRA: {'inside the file' if spec.lora_rank else 'none inside the file'}")
    lines += _passed_over(adapters + encoders)
    return Selection(path, spec, encoder, face_models, "\n".join(lines))


def preference(path: Path, meaning: PresetSpec) -> tuple[bool, int, str]:
    """By what files that are alike inside are ordered, the best first: the published name, then the preset's words."""
    return not _published(path, meaning), -_rank(path, meaning), path.name.lower()


def _passed_over(paths: list[Path]) -> list[str]:
    """A line that names files which cannot be read, if there are any."""
    broken = [path.name for path in paths if identify(path).kind is FileKind.UNREADABLE]
    return [f"passed over, cannot be read: {listed(broken)}"] if broken else []


def means(spec: AdapterSpec, meaning: PresetSpec) -> bool:
    """Whether an adapter is what a preset means; for models without published adapters any width of features will do."""
    projector = spec.projector
    any_width = meaning.width is None or spec.base is BaseModel.OTHER
    right_width = any_width or projector.feature_width == meaning.width
    return (
        spec.format == meaning.format
        and right_width
        and (spec.base is BaseModel.KOLORS) == (BaseModel.KOLORS in meaning.files)
    )


def _fits(spec: AdapterSpec, model: ModelSizes) -> bool:
    widths = tuple(layer.width for layer in spec.layers)
    same = widths == model.widths and spec.text_width == model.text_width
    return same and (spec.base is BaseModel.KOLORS) == model.kolors


def _published(path: Path, meaning: PresetSpec) -> bool:
    """Whether a file has the very name under which the preset's file is published, in either container."""
    return path.stem.lower() in {Path(file.saved_as).stem.lower() for file in meaning.files.values()}


def _rank(path: Path, meaning: PresetSpec) -> int:
    """How well a name suits a preset."""
    name = path.name.lower()
    return sum(word in name for word in meaning.wanted) - 2 * sum(word in name for word in meaning.unwanted)


def _why(fitting: list[tuple[Path, AdapterSpec]], meaning: PresetSpec) -> str:
    """What decided between files that are alike inside."""
    if len(fitting) == 1:
        return ", the only one of this kind"
    others = listed([path.name for path, _ in fitting[1:]], NEAR)
    if _published(fitting[0][0], meaning):
        return f"; it has the published file's name, unlike {others}"
    ranks = [_rank(path, meaning) for path, _ in fitting]
    if ranks[0] > ranks[1]:
        return f"; its name suits the preset better than {others}"
    return f"; its name says no more than {others}: choose one in Load IP-Adapter if this is not the one you mean"


def _encoder(spec: AdapterSpec, encoders: Iterable[Path]) -> tuple[Path, str]:
    known = [(path, sizes) for path in encoders if (sizes := identify(path).encoder) is not None]
    fitting = sorted((pair for pair in known if encoder_fits(pair[1], spec)), key=_encoder_order)
    if fitting:
        path, sizes = fitting[0]
        return path, f"image encoder: {quoted(path.name)}: {sizes.name} by its tensors"
    wanted = next((file for sizes, file in ENCODER_FILES if encoder_fits(sizes, spec)), None)
    near = listed([f"{path.name} ({sizes.name})" for path, sizes in known], NEAR)
    raise PresetError(
        f"{spec.file} needs the image encoder {spec.encoder}, which is not in models/clip_vision (found: {near}): download "
        f"{wanted or spec.encoder}"
    )


def _encoder_order(pair: tuple[Path, EncoderSizes]) -> tuple[bool, str]:
    """The names under which encoders are published come first."""
    return pair[0].name not in {file.saved_as for _, file in ENCODER_FILES}, pair[0].name.lower()


def _missing_adapter(preset: Preset, model: ModelSizes, known: list[tuple[Path, AdapterSpec]]) -> str:
    meaning = MEANINGS[preset]
    here = [base for base in meaning.files if _model_is(base, model)]
    alike = [(path, spec) for path, spec in known if means(spec, meaning) or _fits(spec, model)]
    near = listed([f"{path.name} ({spec.base.value} {spec.format})" for path, spec in alike], NEAR)
    if not here:
        bases = " and ".join(base.value for base in meaning.files)
        return (
            f"the preset {preset.value} exists for {bases} only, the model has {len(model.widths)} cross-attention layers "
            f"and text of width {model.text_width}: choose another preset or another checkpoint (files that fit: {near})"
        )
    return f"no file for the preset {preset.value} in models/ipadapter (near it: {near}): download {meaning.files[here[0]]}"


def _model_is(base: BaseModel, model: ModelSizes) -> bool:
    sizes = {BaseModel.SD15: (16, 768, False), BaseModel.SDXL: (70, 2048, False), BaseModel.KOLORS: (70, 2048, True)}
    return sizes[base] == (len(model.widths), model.text_width, model.kolors)
