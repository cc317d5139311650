"""What there is to tell of files before anything runs: what an adapter is, the image encoder that it needs, its licence."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..checkpoint.enums import Feature
from ..checkpoint.features import FEATURES
from ..checkpoint.spec import AdapterSpec
from ..encoders.sizes import EncoderSizes
from .catalogue import BESIDE, ENCODER_FILES, MEANINGS, Preset, Published
from .identify import encoder_fits, identify
from .licences import LICENCES
from .select_files import means, preference

JUDGED = {  # features whose encoders are told apart by their sizes alone
    Feature.POOLED, Feature.HIDDEN, Feature.ATTENTION_POOLED, Feature.FACE_AND_PICTURE, Feature.RAW_FACE_AND_PICTURE,
    Feature.CONTENT_AND_STYLE, Feature.INSTRUCTED,
}  # fmt: skip
KNOWN = (*BESIDE, *(file for meaning in MEANINGS.values() for file in meaning.files.values()))
PUBLISHED = {Path(file.saved_as).stem.lower(): file for file in KNOWN}
NOT_STATED = "licence: not stated, read it where the file is published"


class Told(NamedTuple):
    """Of one adapter: its description, its kind, the node that encodes for it, and the files that fit as its image encoder.

    `encoders` is None where the adapter needs none, or where its encoder cannot be told from others by its sizes.
    """

    text: str
    kind: str
    node: str
    encoder: str
    encoders: list[str] | None


def told_of(path: Path, encoders: Mapping[str, EncoderSizes]) -> Told | None:
    """What a file is, None where it is no adapter; `encoders` are the `known_encoders`."""
    spec = identify(path).spec
    if spec is None:
        return None
    fitting = fitting_encoders(spec, encoders)
    lines = [spec.describe(), *_encoder_line(spec, fitting), licence_of(path.name)]
    node = FEATURES[spec.projector.feature].node
    return Told("\n".join(lines), spec.kind, node, spec.encoder, fitting)


def fitting_encoders(spec: AdapterSpec, encoders: Mapping[str, EncoderSizes]) -> list[str] | None:
    """The names of the image encoders that make what an adapter reads; None where only a run shows it."""
    if spec.projector.feature not in JUDGED:
        return None
    return [name for name, sizes in encoders.items() if encoder_fits(sizes, spec)]


def known_encoders(encoders: Mapping[str, Path]) -> dict[str, EncoderSizes]:
    """Of files of models/clip_vision by name those whose sizes can be read."""
    return {name: sizes for name, path in encoders.items() if (sizes := identify(path).encoder) is not None}


def licence_of(name: str) -> str:
    """The licence of the published file of that name; files of other names, and other layouts, have none that is known."""
    file = PUBLISHED.get(Path(name).stem.lower())
    said = LICENCES.get(file.repository) if file else None
    return f"licence: {said} ({file.repository})" if file and said else NOT_STATED


def told_of_preset(
    preset: Preset, known: Sequence[tuple[Path, AdapterSpec]], encoders: Mapping[str, EncoderSizes]
) -> str:
    """What a preset would take of `known` adapters for each base model that it exists for, or what to download."""
    meaning = MEANINGS[preset]
    lines: list[str] = []
    for base, file in meaning.files.items():
        fitting = [(path, spec) for path, spec in known if spec.base is base and means(spec, meaning)]
        best = min(fitting, key=lambda pair: preference(pair[0], meaning), default=None)
        if best is None:
            lines.append(f"{base.value}: no file yet: {file}")
            continue
        path, spec = best
        lora = f", a LoRA of rank {spec.lora_rank} inside" if spec.lora_rank else ""
        lines += [f"{base.value}: {path.name}{lora}", *_encoder_line(spec, fitting_encoders(spec, encoders))]
        lines.append(licence_of(path.name))
    return "\n".join(lines)


def _encoder_line(spec: AdapterSpec, fitting: list[str] | None) -> list[str]:
    """Whether the image encoder is there."""
    if fitting is None:
        return []
    if fitting:
        return [f"there: {fitting[0]}"]
    wanted: Published | str = next((file for sizes, file in ENCODER_FILES if encoder_fits(sizes, spec)), spec.encoder)
    return [f"not in models/clip_vision: {wanted}"]
