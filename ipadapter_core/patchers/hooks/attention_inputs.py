"""Queries, keys and values as ComfyUI hands them to a hook: plain tensors, or a newer core's containers of them."""

from typing import Any

from torch import Tensor


def plain_tensor(handed: Any) -> Tensor:
    """The tensor itself. A container is read without emptying it: whoever comes after us may take it.

    Source of the container: `AttentionTensorContainer` in ComfyUI's comfy/ldm/modules/attention.py (05080f60), whose `peek`
    reads and whose `take` reads once.
    """
    return handed if isinstance(handed, Tensor) else handed.peek()
