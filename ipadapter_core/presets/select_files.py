"""From a preset and a model to the files that are meant: by what is in them, by their names only among equals."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ..checkpoint.spec import AdapterSpec, BaseModel
from ..errors import PresetError
from .catalogue import ENCODER_FILES, FACE_MODELS, MEANINGS, Preset, PresetSpec
from .identify import adapter_kind, encoder_fits, encoder_kind, needs_encoder

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
    known = [(path, spec) for path in adapters if (spec := adapter_kind(path)) is not None]
    fitting = sorted(
        ((path, spec) for path, spec in known if _means(spec, meaning) and _fits(spec, model)),
        key=lambda pair: (-_rank(pair[0], meaning), pair[0].name.lower()),
    )
    if not fitting:
        raise PresetError(_missing_adapter(preset, model, known))
    path, spec = fitting[0]
    lines = [f"adapter: {path.name}: {spec.base.value} {spec.format} by its tensors{_why(fitting, meaning)}"]
    encoder = None
    if needs_encoder(spec):
        encoder, said = _encoder(spec, encoders)
        lines.append(said)
    face_models = FACE_MODELS.get(spec.base, "buffalo_l") if "FaceID" in spec.format else None
    if face_models:
        lines.append(f"faces: {face_models}")
        lines.append(f"LoRA: {'inside the file' if spec.lora_rank else 'none inside the file'}")
    return Selection(path, spec, encoder, face_models, "\n".join(lines))


def _means(spec: AdapterSpec, meaning: PresetSpec) -> bool:
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


def _rank(path: Path, meaning: PresetSpec) -> int:
    """How well a name suits a preset."""
    name = path.name.lower()
    return sum(word in name for word in meaning.wanted) - 2 * sum(word in name for word in meaning.unwanted)


def _why(fitting: list[tuple[Path, AdapterSpec]], meaning: PresetSpec) -> str:
    """What decided between files that are alike inside."""
    if len(fitting) == 1:
        return ", the only one of this kind"
    ranks = [_rank(path, meaning) for path, _ in fitting]
    others = ", ".join(path.name for path, _ in fitting[1 : 1 + NEAR])
    if ranks[0] > ranks[1]:
        return f"; its name suits the preset better than {others}"
    return f"; its name says no more than {others}: choose one in Load IP-Adapter if this is not the one you mean"


def _encoder(spec: AdapterSpec, encoders: Iterable[Path]) -> tuple[Path, str]:
    known = [(path, sizes) for path in encoders if (sizes := encoder_kind(path)) is not None]
    fitting = sorted((path for path, sizes in known if encoder_fits(sizes, spec)), key=lambda path: path.name.lower())
    if fitting:
        sizes = encoder_kind(fitting[0])
        assert sizes is not None
        return fitting[0], f"image encoder: {fitting[0].name}: {sizes.name} by its tensors"
    wanted = next((file for name, file in ENCODER_FILES.items() if name in spec.encoder), None)
    near = _listed([f"{path.name} ({sizes.name})" for path, sizes in known])
    raise PresetError(
        f"{spec.file} needs the image encoder {spec.encoder}, which is not in models/clip_vision (found: {near}): download "
        f"{wanted or spec.encoder}"
    )


def _missing_adapter(preset: Preset, model: ModelSizes, known: list[tuple[Path, AdapterSpec]]) -> str:
    meaning = MEANINGS[preset]
    here = [base for base in meaning.files if _model_is(base, model)]
    alike = [(path, spec) for path, spec in known if _means(spec, meaning) or _fits(spec, model)]
    near = _listed([f"{path.name} ({spec.base.value} {spec.format})" for path, spec in alike])
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


def _listed(names: list[str]) -> str:
    return (
        ", ".join(names[:NEAR]) + (f" and {len(names) - NEAR} more" if len(names) > NEAR else "")
        if names
        else "nothing"
    )
