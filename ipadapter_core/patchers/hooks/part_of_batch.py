"""Model calls that another pack cuts up: some rows of the batch at a time, or each on a GPU of its own.

Such a pack stands around the network (a `DIFFUSION_MODEL` wrapper) and hands on a part of latent, noise level and text, while
`transformer_options` still speak of the whole batch. Where a foreign wrapper is there, one of ours stands outside of it and
sees the whole, another inside and sees the part: that one gets a plan for its own rows.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from comfy.patcher_extension import WrappersMP

from ...errors import SamplingError
from ...sampling.batch_layout import BatchLayout
from ...sampling.batch_rows import rows_of_part
from ...sampling.plan import ModelCallPlan

PLAN = "ipadapter_core_plan"
WHOLE, PART = "ipadapter_core_whole", "ipadapter_core_part"

Options = dict[str, Any]
PlanOf = Callable[[BatchLayout], ModelCallPlan]


def watched(options: Options, plan_of_rows: PlanOf) -> Options:
    """Options with our wrappers around and inside those that other packs put around the network; the same where none is.

    `plan_of_rows` makes the plan of a part from its layout.
    """
    wrappers: dict[str, Any] = options.get("wrappers", {})
    foreign: dict[Any, Any] = wrappers.get(WrappersMP.DIFFUSION_MODEL, {})
    if not any(foreign.values()):
        return options
    whole = WholeBatch(options[PLAN])
    around = {WHOLE: [whole], **foreign, PART: [PartOfBatch(whole, plan_of_rows)]}
    return options | {"wrappers": wrappers | {WrappersMP.DIFFUSION_MODEL: around}}


@dataclass(eq=False)
class WholeBatch:
    """Outside of all foreign wrappers of one model call: notes what the network is called with."""

    plan: ModelCallPlan
    call: tuple[tuple[Any, ...], dict[str, Any]] | None = field(default=None, repr=False)

    def __call__(self, executor: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        """The network's own arguments."""
        if x.shape[0] == self.plan.layout.batch:
            self.call = ((x, *args), kwargs)
        return executor(x, *args, **kwargs)


@dataclass(frozen=True, eq=False)
class PartOfBatch:
    """Inside of all foreign wrappers: where they show some rows only, gives the layers a plan for these."""

    whole: WholeBatch
    plan_of_rows: PlanOf

    def __call__(self, executor: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        """The network's own arguments. Raises `SamplingError` where the rows cannot be told."""
        plan, rows = self.whole.plan, x.shape[0]
        acting = any(weight.active for weight in plan.weights)
        if rows == plan.layout.batch or not acting or self.whole.call is None:
            return executor(x, *args, **kwargs)
        whole, part = (_by_name(executor, *call) for call in (self.whole.call, ((x, *args), kwargs)))
        found = rows_of_part(whole, part, rows, plan.layout)
        if found is not None:
            plan = self.plan_of_rows(plan.layout.of_rows(found))
            args, kwargs = _with_plan(plan, args, kwargs)
        elif rows < plan.layout.batch:
            raise SamplingError(
                f"another pack calls the model with {rows} of {plan.layout.batch} images of a batch, and neither their latents "
                "nor their texts tell which of them see the reference: take out the node that splits the batch, or Apply "
                "IP-Adapter, or give the positive and the negative prompt different texts"
            )
        out = executor(x, *args, **kwargs)
        plan.finish()
        return out


def _by_name(executor: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by the network's own names for them, however a wrapper passes them on."""
    bound = inspect.signature(executor.original).bind_partial(*args, **kwargs).arguments
    return {name: one for name, one in bound.items() if not isinstance(one, dict)} | kwargs


def _has_plan(given: Any) -> bool:
    return isinstance(given, dict) and PLAN in given


def _with_plan(plan: ModelCallPlan, args: tuple[Any, ...], kwargs: Options) -> tuple[tuple[Any, ...], Options]:
    """The same arguments with another plan in their options."""

    def other(given: Any) -> Any:
        return given | {PLAN: plan} if _has_plan(given) else given

    return tuple(other(one) for one in args), {name: other(one) for name, one in kwargs.items()}
