"""The gradient of the one operation of ComfyUI's kernels that stands in a model's way and has none: a norm and a rotation.

From 0.30 Anima's self-attention calls it. Its plain form in the same package, which PyTorch can differentiate, is computed
again for the backward pass; what the operation returns stays the kernel's own.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor

OPERATION = "rms_rope_split_half"
PLAIN = "eager"  # the name of the package's own backend of plain PyTorch


@cache
def give_gradient() -> bool:
    """Registers the gradient, once in a process; False where this ComfyUI has no such operation and needs none."""
    import comfy.quant_ops

    kernels: Any = getattr(comfy.quant_ops, "ck", None)
    if not hasattr(kernels, OPERATION):
        return False
    plain: Any = kernels.registry.get_implementation(OPERATION, backend=PLAIN)

    def keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs[:5])
        ctx.numbers = inputs[5:]

    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        query, key, *others = ctx.saved_tensors
        with torch.enable_grad():
            sides = [one.detach().requires_grad_(True) for one in (query, key)]
            found = plain(*sides, *others, *ctx.numbers)
            made = torch.autograd.grad(found, sides, gradients)
        return (*made, *[None] * (len(others) + len(ctx.numbers)))

    library: Any = torch.library  # which has no types in PyTorch
    library.register_autograd(f"comfy_kitchen::{OPERATION}", backward, setup_context=keep)
    return True
