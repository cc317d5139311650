"""From an adapter file to an adapter whose memory ComfyUI manages."""

from pathlib import Path

from torch import Tensor

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.utils

from ..checkpoint.detect import LORA, check_metadata, detect
from ..checkpoint.key_names import FACE_LORA_KEY, canonical_names
from ..errors import OUT_OF_MEMORY, CheckpointError, is_out_of_memory
from .managed import ManagedAdapter
from .network import Adapter


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
        if is_out_of_memory(error):
            raise
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
    except OUT_OF_MEMORY:
        raise
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
