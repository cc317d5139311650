"""The plan of a model call, from what the sampler decided and what other packs made of its batch."""

from typing import Any

from ...host import attention_is_its_own
from ...masks.token_grid import halved
from ...sampling.application import Application
from ...sampling.layer_call import Observer
from ...sampling.layer_slot import Slots
from ...sampling.plan import ModelCallPlan, Source, placed_key_value
from ...sampling.prepared import prepare
from ...sampling.run import Step
from ...warn_once import warn_once
from .batch_layout import LAYOUT, layout_of
from .sequence_split import sequence_split
from .torch_compile import is_compiled
from .wrappers import LIKE, STEP, Options, observers_of

LEVELS = 4  # the token grids of a model whose masks are made ready before a call; any other is made in its layer
OVERRIDE = "optimized_attention_override"  # ComfyUI's key for the one who takes over every attention


def plan_of(
    applications: list[Application], options: Options, slots: Slots, source: Source = placed_key_value
) -> ModelCallPlan:
    """What the layers of this call ask; `source` is where they get keys and values."""
    step: Step = options[STEP]
    layout = options[LAYOUT] if LAYOUT in options else layout_of(options, step)
    like, exclusive = options.get(LIKE, step.canvas), attention_is_its_own()
    grids = tuple(halved(layout.latent, LEVELS))
    prepared = tuple(
        prepare(application, layout, weight, like, grids) if weight.active else None
        for application, weight in zip(applications, step.weights, strict=True)
    )
    split = sequence_split()
    plan = ModelCallPlan(layout, step.weights, prepared, slots, like, source, _observers(options), exclusive, split)
    return plan.made_ready()


def exclusive_output(plan: ModelCallPlan, previous: Any, options: Options) -> bool:
    """Whether what a layer's base attention returned may be written to: no other pack had a part in it."""
    return plan.output_is_exclusive and previous is None and OVERRIDE not in options


def _observers(options: Options) -> tuple[Observer, ...]:
    """Recordings that want to see every layer; a compiled program cannot be looked into."""
    observers = tuple(one for one in observers_of(options) if one.maps)
    if observers and is_compiled(options):
        warn_once("the model is compiled, so attention is not recorded: bypass the compile node to see attention maps")
        return ()
    return observers
