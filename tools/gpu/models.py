"""Right, whole models: one step with and without the adapter, beside the same step in float32."""

import torch
from torch import Tensor

from .setup import Setup, relative
from .world import FAMILIES, World, dtype_of, same_weights, sample, world

WORSE = 2.0  # times the base model's own rounding
APART = 0.05  # of the output: two orders of the same bf16 additions through a whole network of noise
SPARE = 1.25  # memory a model needs, over that of its weights


def models_are_right(setup: Setup) -> None:
    """Every family that the device has room for."""
    for family in FAMILIES:
        need = _weights(family, setup, dtype_of(family, setup)) * SPARE
        if need > _room(setup):
            setup.not_here("right", f"{family.name}: a whole step", f"needs {need / 1e9:.0f} GB")
            continue
        _one(world(family, setup), setup)
        if setup.on_gpu:
            torch.cuda.empty_cache()


def _one(given: World, setup: Setup) -> None:
    name = given.family.name
    with_it, without = _pair(given)
    effect = with_it - without
    setup.holds("right", f"{name}: the effect is finite", bool(torch.isfinite(effect).all()))
    size = relative(effect, without)
    setup.holds("right", f"{name}: the effect is of sane size", 1e-4 < size < 10, f"{size:.3g} of the output")
    need = _weights(given.family, setup, torch.float32) * SPARE
    if need > _room(setup):
        return _beside_plain(given, with_it, setup)
    exact_with, exact_without = _pair(same_weights(given, setup, torch.float32))
    base = relative(without - exact_without, exact_without)
    error = relative(with_it - exact_with, exact_with)
    note = f"error {error:.2g}, without the adapter {base:.2g}"
    setup.at_most(
        "right", f"{name}: error against float32 over that of the model alone", error / base, WORSE, note=note
    )


def _beside_plain(given: World, with_it: Tensor, setup: Setup) -> None:
    """Where float32 does not fit: the same step with PyTorch's own order of operations, which no kernel of ours changes."""
    from ...ipadapter_core.patchers.hooks import kernel_choice

    with kernel_choice.only(None):
        plain = sample(given, given.applied())
    difference = relative(with_it - plain, plain)
    setup.at_most(
        "right", f"{given.family.name}: difference to plain mode", difference, APART, note="float32 does not fit"
    )


def _pair(given: World) -> tuple[Tensor, Tensor]:
    return sample(given, given.applied()).float(), sample(given, given.model).float()


def _weights(family, setup: Setup, dtype: torch.dtype) -> float:
    from .world import network

    meta = Setup(torch.device("meta"), setup.tiny, setup.out, setup.repeats)
    return sum(one.numel() for one in network(family, meta, dtype).model.parameters()) * dtype.itemsize


def _room(setup: Setup) -> float:
    return torch.cuda.mem_get_info(setup.device)[0] if setup.on_gpu else 4e9
