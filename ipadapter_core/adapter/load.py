"""From an adapter file to an adapter whose memory ComfyUI manages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
from torch import Tensor

import comfy.model_management
import comfy.model_patcher
import comfy.ops

from ..checkpoint.headers import AGAIN, Header, flattened, header_of, read_header
from ..checkpoint.key_names import LORA, is_lora
from ..checkpoint.recognise import Recognised, recognise
from ..checkpoint.second_file import check_whole, fitting_resampler
from ..checkpoint.tensors import check_numbers
from ..errors import CheckpointError, is_out_of_memory
from ..host import read_tensors
from ..quoting import quoted
from .managed import ManagedAdapter
from .network import Adapter


def load_adapter(path: str, resampler: str | None = None) -> ManagedAdapter:
    """Reads, recognises and loads an adapter file, with the second file that an adapter in two files is made of.

    Raises `CheckpointError` when a file cannot be read, is no adapter that we know, or the two do not belong together.
    """
    file = Path(path)
    header = read_header(file)
    found = recognise(header, file.name)
    if resampler is None:
        check_whole(found.spec)
        return _managed(found, _named(_read(file, header), found.names))
    other = Path(resampler)
    second = read_header(other)
    half = fitting_resampler(found.spec, second, other.name)
    tensors = _named(_read(file, header), found.names) | _named(_read(other, second), half.names)
    return _managed(recognise(header_of(tensors), file.name), tensors)


def adapter_from_weights(weights: Mapping[str, Any], file: str) -> ManagedAdapter:
    """An adapter from weights as files have them: nested or flat, under published or canonical keys.

    Raises `CheckpointError` when they are no adapter that we know.
    """
    try:
        tensors = flattened(weights)
    except ValueError as error:
        raise CheckpointError(f"{quoted(file)}: {error}, expected the weights of an IP-Adapter") from error
    found = recognise(header_of(tensors), file)
    check_whole(found.spec)
    return _managed(found, _named(tensors, found.names))


def _named(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    return {name: tensors[key] for key, name in names.items()}


def _managed(found: Recognised, tensors: Mapping[str, Tensor]) -> ManagedAdapter:
    spec = found.spec
    network = Adapter(spec, comfy.ops.manual_cast, device="meta")
    own = {name: tensor for name, tensor in tensors.items() if not is_lora(name)}
    lora = {name.removeprefix(LORA): tensor for name, tensor in tensors.items() if is_lora(name)}
    try:
        network.load_state_dict(own, assign=True)  # each tensor stays as the file has it: mapped, in its own dtype
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        reason = quoted(" ".join(str(error).split("\n\t")[1:3]))
        raise CheckpointError(
            f"{spec.file}: its tensors do not fit together ({reason}), the file looks damaged: download it again"
        ) from error
    check_numbers(tensors, spec.file)
    load_device, offload = comfy.model_management.get_torch_device(), comfy.model_management.unet_offload_device()
    patcher = comfy.model_patcher.CoreModelPatcher(network.eval(), load_device=load_device, offload_device=offload)
    return ManagedAdapter(spec, patcher, lora)


def _read(file: Path, header: Header) -> dict[str, Tensor]:
    """The tensors by their names in the file; raises `CheckpointError` where they are not as the header says."""
    try:
        return read_tensors(file, header)
    except (OSError, ValueError, RuntimeError, KeyError, safetensors.SafetensorError) as error:
        if is_out_of_memory(error):
            raise
        raise CheckpointError(f"{quoted(file.name)}: cannot be read: {quoted(error)}; {AGAIN}") from error
