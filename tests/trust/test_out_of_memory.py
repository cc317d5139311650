"""Where we turn whatever a broken file or a compiler raises into a sentence, memory that ran out stays what it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import onnxruntime
import pytest
import torch
from pack.ipadapter_core.adapter.load import load_adapter
from pack.ipadapter_core.attention import fused_kernel
from pack.ipadapter_core.attention.image_attention import LayerKeyValue
from pack.ipadapter_core.checkpoint.headers import read_shapes
from pack.ipadapter_core.encoders import perception
from pack.ipadapter_core.encoders.face.onnx_session import Provider, open_session
from pack.ipadapter_core.encoders.folder import make_network
from pack.ipadapter_core.errors import IPAdapterError
from pack.ipadapter_core.patchers.hooks import kernel_choice
from pack.ipadapter_core.prompt.files import read_embeds
from pack.tests.oracles.faults import FAULTS, Interrupt, OutOfHostMemory, OutOfMemory
from pack.tools.miniature.models import adapter_weights
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from triton.compiler.errors import CompilationError
from triton.runtime.errors import OutOfResources

import comfy.utils

pytestmark = pytest.mark.trust


def adapter_file(folder: Path) -> Path:
    """An adapter in miniature."""
    save_file(adapter_weights("base", [32, 64], 96), folder / "some.safetensors")
    return folder / "some.safetensors"


def embeds_file(folder: Path) -> Path:
    """Embeds in PyTorch's format."""
    torch.save(torch.zeros(1, 4), folder / "some.ipadpt")
    return folder / "some.ipadpt"


CLIP = (CLIPVisionConfig, CLIPVisionModelWithProjection)
READERS: dict[str, tuple[Any, str, Callable[[Path], Any]]] = {  # what is called where, and by whom
    "adapter": (comfy.utils, "load_torch_file", lambda folder: load_adapter(str(adapter_file(folder)))),
    "header": (torch, "load", lambda folder: read_shapes(embeds_file(folder))),
    "embeds": (torch, "load", lambda folder: read_embeds(embeds_file(folder))),
    "face model": (onnxruntime, "InferenceSession", lambda folder: open_session(adapter_file(folder), Provider.CPU)),
    "perception": (perception, "PerceptionEncoder", lambda _: perception.perception_from_weights({}, "some.pt")),
    "folder": (CLIPVisionModelWithProjection, "from_pretrained", lambda _: make_network(CLIP, {}, {}, "some folder")),
}


def raising(error: BaseException) -> Callable[..., NoReturn]:
    """A function that only fails."""

    def fail(*_: Any, **__: Any) -> NoReturn:
        raise error

    return fail


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("fault", FAULTS)
def test_readers_let_it_through(reader, fault, monkeypatch, tmp_path):
    """What else goes wrong is a sentence about the file."""
    owner, name, read = READERS[reader]
    monkeypatch.setattr(owner, name, raising(fault("injected")))
    with pytest.raises(fault):
        read(tmp_path)
    monkeypatch.setattr(owner, name, raising(RuntimeError("a broken file")))
    with pytest.raises(IPAdapterError, match="some"):
        read(tmp_path)


@pytest.fixture
def fused_call(monkeypatch):
    """The choice between the kernel and the plain way as on a GPU, with any function as the kernel."""
    monkeypatch.setattr(kernel_choice, "available", lambda query: True)
    monkeypatch.setattr(kernel_choice, "_refused", set())
    query, key = torch.zeros(1, 4, 8), torch.zeros(1, 2, 8)

    def call(error: BaseException) -> Any:
        monkeypatch.setattr(fused_kernel, "fused_attention", raising(error))
        with kernel_choice.only(fused_kernel.USUAL):
            return kernel_choice.fused(query, key, key, [LayerKeyValue(key, key, None)], 2)

    return call


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemory("CUDA out of memory"),
        OutOfHostMemory(),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
        Interrupt(),
        KeyError("another pack's"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_fused_kernel_lets_it_through(error, fused_call):
    """And the way stays undecided: the next call may have the memory."""
    with pytest.raises(type(error)):
        fused_call(error)
    assert not kernel_choice._refused


@pytest.mark.parametrize(
    "error",
    [
        CompilationError("", None, "this GPU is not known"),
        OutOfResources(200_000, 100_000, "shared memory"),
        RuntimeError("Failed to find C compiler"),
        FileNotFoundError("ptxas"),
        ImportError("libcuda.so"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_where_the_kernel_cannot_be_compiled_the_plain_way_is_taken(error, fused_call):
    """Once and for all."""
    assert fused_call(error) is None
    assert len(kernel_choice._refused) == 1
