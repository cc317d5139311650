"""Gradient checkpointing: a model's blocks forget what they computed and compute it again for the backward pass."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

from torch import Tensor, nn
from torch.utils import checkpoint

from comfy.ldm.anima.model import Anima
from comfy.ldm.chroma.model import Chroma
from comfy.ldm.flux.model import Flux
from comfy.ldm.modules.attention import BasicTransformerBlock
from comfy.ldm.modules.diffusionmodules.mmdit import MMDiT
from comfy.ldm.modules.diffusionmodules.openaimodel import ResBlock, UNetModel

LISTS: dict[type[nn.Module], tuple[str, ...]] = {  # of each family, the lists of its blocks
    Flux: ("double_blocks", "single_blocks"),
    Chroma: ("double_blocks", "single_blocks"),
    MMDiT: ("joint_blocks",),
    Anima: ("blocks",),
}
UNET_BLOCKS = (BasicTransformerBlock, ResBlock)
IN_PLACE = (Flux, Chroma)  # whose blocks add to what they were given, where a norm has kept it for the backward pass
FORWARD = "forward"


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """The blocks of a diffusion model that are worth being computed twice."""
    if isinstance(network, UNetModel):
        return [module for module in network.modules() if isinstance(module, UNET_BLOCKS)]
    names = next((names for kind, names in LISTS.items() if isinstance(network, kind)), ())
    return [block for name in names for block in getattr(network, name)]


@contextmanager
def checkpointed(network: nn.Module) -> Generator[None, None, None]:
    """While it lasts, each block keeps what goes into it alone; afterwards the network is as it was."""
    blocks = blocks_of(network)
    try:
        for block in blocks:
            setattr(block, FORWARD, _Twice(block.forward))
        yield
    finally:
        for block in blocks:
            vars(block).pop(FORWARD, None)


@contextmanager
def norms_with_copies(network: nn.Module) -> Generator[None, None, None]:
    """While it lasts, the norms of blocks that add in place read copies, so that what they keep stays what they read."""
    norms = [
        module for module in network.modules() if isinstance(network, IN_PLACE) and isinstance(module, nn.LayerNorm)
    ]
    hooks = [norm.register_forward_pre_hook(_copied) for norm in norms]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _copied(_norm: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(one.clone() for one in given)


class _Twice:
    """A block's own forward, run again for the backward pass with what it was called with.

    ComfyUI writes into one dictionary of options while it goes from block to block, and some blocks into the tensors that
    they are given: each run has copies.
    """

    def __init__(self, forward: Any) -> None:
        self.forward = forward

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        kept = [_kept(one) for one in args]
        named = {name: _kept(one) for name, one in kwargs.items()}

        def run() -> Any:
            fresh = {name: _fresh(one) for name, one in named.items()}
            return self.forward(*[_fresh(one) for one in kept], **fresh)

        again: Any = vars(checkpoint)["checkpoint"]  # which has no types in PyTorch
        return again(run, use_reentrant=False)


def _kept(given: Any) -> Any:
    return cast(dict[Any, Any], given).copy() if isinstance(given, dict) else given


def _fresh(given: Any) -> Any:
    return given.clone() if isinstance(given, Tensor) else _kept(given)
