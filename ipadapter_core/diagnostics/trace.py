"""What went into an image, as data that a program can read: written into the image's file, and kept small."""

import base64
import hashlib
import io
from typing import Any

from PIL import Image
from torch import Tensor

from ..attention.orthogonal_attention import Orthogonality
from ..errors import RecordingError
from ..prompt.image_prompt import Reference
from ..sampling.application import Application
from ..weights.layer_weights import places_of
from .recording import Recording

VERSION = 1
KEY = "ipadapter_core"  # of the text chunk in a PNG file
THUMBNAIL = 96  # pixels of the longer side

Trace = dict[str, Any]


def trace_of(recording: Recording) -> Trace:
    """The last run: its noise levels, and of each application what it was made of, where and when it acted.

    `steps_active` counts from 0; `layers` holds, by block, what multiplies the positive and the negative pass.
    Raises `RecordingError` before the first run.
    """
    notes = recording.run
    if not notes.sigmas:
        raise RecordingError(
            "no run was noted: put Record Attention between Apply IP-Adapter and the sampler, and connect the sampled image "
            "to images of Save Image with Metadata"
        )
    return {
        "version": VERSION,
        "steps": len(notes.sigmas) - 1,
        "sigmas": [round(sigma, 6) for sigma in notes.sigmas],
        "applications": [_application(*pair) for pair in zip(notes.applications, notes.active, strict=True)],
    }


def _application(application: Application, active: tuple[int, ...]) -> Trace:
    strength = application.strength
    places = {(place.part, place.number): place.name for place in places_of(application.blocks)}
    weights = zip(application.blocks, application.layers, strict=True)
    layers = {places[part, number]: [layer.positive, layer.negative] for (part, number, _), layer in weights}
    return {
        **_origin(application),
        **_orthogonality(application.orthogonality),
        "weight": strength.weight,
        "window": [strength.start_percent, strength.end_percent],
        "schedule": None if strength.schedule is None else [list(point) for point in strength.schedule.points],
        "frame_weights": None if strength.frames is None else list(strength.frames),
        "embeds_scaling": strength.scaling.value,
        "masked": application.masked,
        "one_reference_per_frame": application.per_frame,
        "layers": {name: pair for name, pair in layers.items() if any(pair)},
        "layer_count": sum(not layer.silent for layer in application.layers),
        "steps_active": list(active),
    }


def _origin(application: Application) -> Trace:
    origin = application.origin
    if origin is None:
        return {}
    tokens = [0 if application.banks else origin.spec.projector.tokens] * len(origin.prompt.references)
    for bank, _, place in application.banks:
        tokens[place] = bank.tokens  # of references that are read as one the first one has them
    pairs = zip(origin.prompt.references, tokens, strict=True)
    return {
        "adapter": origin.spec.file,
        "format": origin.spec.format,
        "base_model": origin.spec.base.value,
        "encoder": origin.prompt.encoder,
        "references": [_reference(*pair) for pair in pairs],
    }


def _orthogonality(how: Orthogonality | None) -> Trace:
    """What PuLID for SDXL does beside its attention; nothing for other adapters."""
    return {} if how is None else {"zero_tokens": how.zeros, "projection": how.projection.value}


def _reference(reference: Reference, tokens: int) -> Trace:
    seen = reference.image.seen
    words = {} if reference.words is None else {"words": reference.words.text}
    return {"weight": reference.weight, "tokens": tokens, "seen": None if seen is None else _picture(seen)} | words


def _picture(seen: Tensor) -> Trace:
    """What the encoder saw (H, W, 3), 8 bits: its size, a digest of its bytes, and a small JPEG."""
    pixels = seen.numpy()
    thumbnail = Image.fromarray(pixels)
    thumbnail.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    thumbnail.save(file, "JPEG", quality=85)
    return {
        "size": [pixels.shape[1], pixels.shape[0]],
        "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
        "jpeg": base64.b64encode(file.getvalue()).decode(),
    }


def in_words(trace: Trace) -> str:
    """The trace in a few lines, for the node's face."""
    lines = [f"{trace['steps']} steps"]
    for number, one in enumerate(trace["applications"], 1):
        references = one.get("references", [])
        tokens = sum(reference["tokens"] for reference in references)
        lines.append(
            f"{number}: {one.get('adapter', 'an adapter')}, weight {one['weight']:g}, {len(references)} references, "
            f"{tokens} tokens, {one['layer_count']} layers, {len(one['steps_active'])} steps"
        )
    return "\n".join(lines)
