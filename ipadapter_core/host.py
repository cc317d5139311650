"""Every call of ComfyUI that is not a hook: files, devices, memory, attention."""

from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

import comfy.ldm.modules.attention
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.utils

from .adapter import Adapter
from .checkpoint.detect import LORA, check_metadata, detect
from .checkpoint.key_names import FACE_LORA_KEY, canonical_names
from .checkpoint.spec import AdapterSpec
from .errors import CheckpointError
from .image_prompt import EncodedImage
from .key_value_bank import KeyValueBank, project


@dataclass(frozen=True, eq=False)
class ManagedAdapter:
    """An adapter whose memory ComfyUI manages: what the IP_ADAPTER socket carries.

    `lora` are the tensors of the LoRA inside some files, by their names there; mapped, not loaded. `gain` multiplies what
    its keys and values are made from.
    """

    spec: AdapterSpec
    patcher: comfy.model_patcher.ModelPatcher
    lora: dict[str, Tensor] = field(default_factory=dict, repr=False)
    gain: float = 1.0

    @property
    def network(self) -> Adapter:
        """The adapter's layers; they cast their weights to whatever device and dtype their input has."""
        return self.patcher.model

    def bank(self, image: EncodedImage, text_projection: nn.Module | None = None) -> KeyValueBank:
        """The keys and values of a reference, projected at the first call and remembered with it.

        `text_projection` is the model's, a linear layer, for adapters whose tokens have to pass it.
        """
        banks = image.banks.setdefault(self.network, WeakKeyDictionary())
        maker = self.network if text_projection is None else text_projection
        if maker not in banks:
            device = self.patcher.load_device
            comfy.model_management.free_memory(self._working_memory(), device)
            translate = None if text_projection is None else _Translation(text_projection)
            banks[maker] = project(self.network, image.features, image.negative, device, translate)
        bank = banks[maker]
        return bank if self.gain == 1 else bank.scaled(self.gain)

    def _working_memory(self) -> int:
        """Bytes that a projection needs: weights pass through one layer at a time, in float32."""
        largest = max(parameter.numel() for parameter in self.network.parameters())
        return 3 * 4 * largest


@dataclass(frozen=True, eq=False)
class _Translation:
    """A linear layer of a model that may lie anywhere and in any dtype, on tokens (B, N, C)."""

    layer: nn.Module

    def __call__(self, tokens: Tensor) -> Tensor:
        weight, bias = (part.to(tokens) for part in (self.layer.weight, self.layer.bias))  # type: ignore[union-attr]
        return nn.functional.linear(tokens, weight, bias)


def load_adapter(path: str) -> ManagedAdapter:
    """Reads, recognises and loads an adapter file.

    Raises `CheckpointError` when the file cannot be read or is no adapter that we know.
    """
    file = Path(path).name
    weights, metadata = _read(path, file)
    check_metadata(metadata or {}, file)
    return adapter_from_weights(flat(weights), file)


def adapter_from_weights(weights: dict[str, Tensor], file: str) -> ManagedAdapter:
    """An adapter from flat weights under canonical keys.

    Raises `CheckpointError` when they are no adapter that we know.
    """
    spec = detect({key: tuple(tensor.shape) for key, tensor in weights.items()}, file)
    network = Adapter(spec, comfy.ops.manual_cast, device="meta")
    lora = {key: tensor for key, tensor in weights.items() if key.startswith(LORA) or FACE_LORA_KEY.fullmatch(key)}
    own = {key: tensor for key, tensor in weights.items() if key not in lora}
    lora = {key.removeprefix(LORA): tensor for key, tensor in lora.items()}
    try:
        network.load_state_dict(own, assign=True)  # each tensor stays as the file has it: mapped, in its own dtype
    except RuntimeError as error:
        reason = str(error).split("\n\t")[1:3]
        raise CheckpointError(
            f"{file}: its tensors do not fit together ({' '.join(reason)}), the file looks damaged: download it again"
        ) from error
    load_device, offload = comfy.model_management.get_torch_device(), comfy.model_management.unet_offload_device()
    patcher = comfy.model_patcher.CoreModelPatcher(network.eval(), load_device=load_device, offload_device=offload)
    return ManagedAdapter(spec, patcher, lora)


def _read(path: str, file: str) -> tuple[dict, dict[str, str] | None]:
    try:
        return comfy.utils.load_torch_file(path, safe_load=True, return_metadata=True)
    except Exception as error:  # noqa: BLE001 - whatever a broken file raises becomes one clear sentence
        size = Path(path).stat().st_size if Path(path).exists() else 0
        raise CheckpointError(
            f"{file}: cannot be read as safetensors or as a PyTorch file ({size} bytes, {type(error).__name__}); it is "
            "probably a download that broke off or a web page saved under this name: download it again"
        ) from error


def flat(weights: dict) -> dict[str, Tensor]:
    """One level of canonical keys, whichever way the file nests and names them."""
    found: dict = {}
    for key, value in weights.items():
        inner = value.items() if isinstance(value, dict) else ((None, value),)
        found |= {key if name is None else f"{key}.{name}": tensor for name, tensor in inner}
    names = canonical_names(found)
    return {name: found[key] for key, name in names.items() if isinstance(found[key], Tensor)}


def base_attention(query: Tensor, key: Tensor, value: Tensor, options: dict) -> Tensor:
    """The text half of a layer as ComfyUI itself computes it, overrides by other packs included."""
    return comfy.ldm.modules.attention.optimized_attention(
        query,
        key,
        value,
        heads=options["n_heads"],
        attn_precision=options.get("attn_precision"),
        transformer_options=options,
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
