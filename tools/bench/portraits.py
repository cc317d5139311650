"""PuLID before sampling, at true size: what a person costs when applied, and what a run holds of one."""

from typing import Any

import torch

from ...ipadapter_core.adapter.load import adapter_from_weights
from ...ipadapter_core.patchers.apply import apply_image_prompt
from ...ipadapter_core.patchers.hooks.wrappers import applications_of
from ...ipadapter_core.sampling.strength import Strength
from ..miniature.published_faces import PUBLISHED
from ..miniature.published_transformers import FILES
from ..miniature.pulid import PUBLISHED_FACE, face_features
from ..miniature.transformers import prompt_for
from .adapters import Shapes, filled
from .scenes import model_at_size
from .sides import Machine
from .stages import timed

Row = dict[str, Any]
RELEASES: dict[str, tuple[tuple[str, Shapes], ...]] = {
    "SDXL": (("PuLID v1", PUBLISHED["pulid_v1"][0]), ("PuLID v1.1", PUBLISHED["pulid_v1.1"][0])),
    "FLUX": (("PuLID", FILES["PuLID FLUX"][0]),),
}


def portrait_rows(model: str, machine: Machine) -> list[Row]:
    """Rows for each release that a model has: applied, applied again, placed, held."""
    return [row for name, shapes in RELEASES.get(model, ()) for row in _rows(model, name, shapes, machine)]


def _rows(model: str, name: str, shapes: Shapes, machine: Machine) -> list[Row]:
    adapter, base = adapter_from_weights(filled(shapes, torch.float16), name), model_at_size(model)
    prompt = prompt_for(adapter, face_features(**PUBLISHED_FACE))
    dtype = torch.bfloat16 if model == "FLUX" else torch.float16

    def applied():
        return apply_image_prompt(base, adapter, prompt, Strength())

    once = timed(applied)
    (application,) = applications_of(once[2].model_options["transformer_options"])
    measured = {
        "apply": once,
        "apply again, same person": timed(applied, 7),
        "first step (place keys and values)": timed(lambda: application.placed(machine.device, dtype)),
    }
    held = application.bytes_on(machine.device)
    application.cleanup()
    rows: list[Row] = [{"stage": stage, "ms": ms, "kept_bytes": kept} for stage, (ms, kept, _) in measured.items()]
    rows.append({"stage": f"held while sampling, {str(dtype).removeprefix('torch.')}", "ms": None, "kept_bytes": held})
    return [{"model": f"{model}, {name}", "side": "ours"} | row for row in rows]
