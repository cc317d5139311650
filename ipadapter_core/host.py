"""Every call of ComfyUI that is not a hook: files, devices, memory, attention."""

from pathlib import Path
from typing import Any, Protocol, cast

import safetensors.torch
import torch
from torch import Tensor, nn

import comfy.ldm.modules.attention
import comfy.model_management
import comfy.utils

from .checkpoint.headers import Container, Header, flattened
from .checkpoint.pickles import read_tree


class Operations(Protocol):
    """A namespace of layer classes: `comfy.ops.manual_cast`, whose layers cast their weights to their input, or `torch.nn`."""

    @property
    def Conv2d(self) -> type[nn.Conv2d]:
        """A convolution over pixels."""
        ...

    @property
    def LayerNorm(self) -> type[nn.LayerNorm]:
        """A norm over channels."""
        ...

    @property
    def Linear(self) -> type[nn.Linear]:
        """A matrix and a bias."""
        ...


SAFETENSORS = (".safetensors", ".sft")  # endings that ComfyUI's own reader, which may stream, knows the container by


def read_tensors(file: Path, header: Header) -> dict[str, Tensor]:
    """The tensors by their names in the file, mapped rather than read where the file allows it."""
    if header.container is Container.TORCH:
        return flattened(read_tree(file, "cpu"))
    if file.suffix.lower() in SAFETENSORS:
        return cast(dict[str, Tensor], comfy.utils.load_torch_file(str(file), safe_load=True))
    return safetensors.torch.load_file(file)


def base_attention(query: Any, key: Any, value: Any, options: dict[str, Any], **further: Any) -> Tensor:
    """The text half of a layer as ComfyUI itself computes it, overrides by other packs included.

    query (B, L, D), key and value (B, T, D), or a newer core's containers of them; `further` is what that says besides.
    """
    return comfy.ldm.modules.attention.optimized_attention(
        query,
        key,
        value,
        heads=options["n_heads"],
        attn_precision=options.get("attn_precision"),
        transformer_options=options,
        **further,
    )


def attention_is_its_own() -> bool:
    """Whether ComfyUI's attention is still a function of ComfyUI's, which returns a new tensor, not one of another pack."""
    function = comfy.ldm.modules.attention.optimized_attention
    functions = (function, getattr(function, "__wrapped__", function))  # packs borrow ComfyUI's decorator
    home = vars(comfy.ldm.modules.attention)
    return all(getattr(one, "__globals__", None) is home for one in functions)


def attention_is_pytorchs() -> bool:
    """Whether ComfyUI computes attention with PyTorch's own kernels, and no other was chosen at its start."""
    attention = comfy.ldm.modules.attention
    return attention.optimized_attention is attention.attention_pytorch


def intermediate(tensor: Tensor) -> Tensor:
    """A tensor where ComfyUI keeps what goes from node to node."""
    return tensor.to(comfy.model_management.intermediate_device(), torch.float32)
