"""Everything that was applied to a model, made stronger or weaker at once, or taken out again."""

from dataclasses import replace
from typing import NamedTuple

from comfy.model_patcher import ModelPatcher

from ..sampling.application import Application
from .apply import FAMILIES
from .hooks.wrappers import NAME, WRAPPERS, applications_of
from .own_loras import scale_own_loras


class Scaled(NamedTuple):
    """A clone with other weights, and what there is to say about it."""

    model: ModelPatcher
    report: str


def scale_applied(model: ModelPatcher, factor: float) -> Scaled:
    """A clone of `model` in which every weight is multiplied, as if all had been applied with the product.

    0 takes out the applications, their hooks and the LoRAs that came with adapters: what is left is the model as it was
    before, other packs' patches included.
    """
    scaled = model.clone()
    applications = applications_of(scaled.model_options["transformer_options"])
    scale_own_loras(scaled, factor)
    if factor == 0:
        _remove(scaled)
    elif applications:
        weighed = [_scaled(application, factor) for application in applications]
        scaled.model_options["transformer_options"]["patches"][NAME] = weighed
    return Scaled(scaled, _report(applications, factor))


def _scaled(application: Application, factor: float) -> Application:
    return replace(application, strength=replace(application.strength, weight=application.strength.weight * factor))


def _remove(model: ModelPatcher) -> None:
    """Takes everything of ours out of the very `model`."""
    model.model_options["transformer_options"].get("patches", {}).pop(NAME, None)
    for kind in WRAPPERS:
        model.remove_wrappers_with_key(kind, NAME)
    for family in dict.fromkeys(FAMILIES.values()):
        family.restore(model)


def _report(applications: list[Application], factor: float) -> str:
    if not applications:
        return "no image prompt is applied to this model"
    names = [application.origin.spec.file if application.origin else "an adapter" for application in applications]
    if factor == 0:
        return "\n".join(f"{name}: taken out" for name in names)
    weights = [application.strength.weight for application in applications]
    return "\n".join(
        f"{name}: weight {weight:g} becomes {weight * factor:g}" for name, weight in zip(names, weights, strict=True)
    )
