"""Published files under other names than their first: the same adapter, tensor for tensor, and the same image."""

import pytest
import torch
from diffusers.models.embeddings import IPAdapterTimeImageProjection
from pack.ipadapter_core.adapter.load import load_adapter
from pack.ipadapter_core.checkpoint.spec import BaseModel
from pack.tests.oracles.diffusers import relative
from pack.tools.miniature.transformers import instantx_sd3, noise, weights_of
from safetensors.torch import save_file

pytestmark = pytest.mark.adapters

SD3 = instantx_sd3(3, 192)


def by_diffusers() -> dict[str, torch.Tensor]:
    """The file that SD.Next loads: the projector under the names of diffusers' own class, the layers as they were."""
    module = IPAdapterTimeImageProjection(
        embed_dim=48, output_dim=192, hidden_dim=128, heads=2, num_queries=5, timestep_in_dim=32
    )
    shapes = {f"image_proj.{key}": tuple(one.shape) for key, one in module.state_dict().items()}
    return weights_of(shapes | {key: shape for key, shape in SD3.items() if key.startswith("ip_adapter.")})


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 5e-6), (torch.float64, 1e-12)])
def test_sd35_in_diffusers_names_makes_diffusers_tokens(dtype, limit, tmp_path, monkeypatch, capsys):
    """Every name of diffusers' class has its place, and the tokens are those that diffusers makes.

    In float64 diffusers is kept from rounding its softmax to float32, so what is left is whether the formula is the same.
    """
    weights = by_diffusers()
    save_file(weights, tmp_path / "ip-adapter_diffusers.safetensors")
    adapter = load_adapter(str(tmp_path / "ip-adapter_diffusers.safetensors"))
    assert adapter.spec.base is BaseModel.SD35_LARGE
    assert {key: tuple(one.shape) for key, one in adapter.network.state_dict().items()} == SD3
    theirs = IPAdapterTimeImageProjection(
        embed_dim=48, output_dim=192, hidden_dim=128, heads=2, num_queries=5, timestep_in_dim=32
    )
    theirs.load_state_dict(
        {key.removeprefix("image_proj."): one for key, one in weights.items() if key.startswith("image_proj.")}
    )
    theirs, ours = theirs.to(dtype), adapter.network.image_proj.to(dtype)
    if dtype is torch.float64:
        monkeypatch.setattr(torch.Tensor, "float", lambda one: one)
    features, timestep = noise(2, 9, 48).to(dtype), torch.tensor([600.0])
    with torch.no_grad():
        wanted, embedding = theirs(features, timestep)
        got, time = ours(features, timestep)
    monkeypatch.undo()
    errors = relative(got - wanted, wanted), relative(time - embedding, embedding)
    with capsys.disabled():
        print(f"\n  SD3.5's projector in {dtype}: tokens {errors[0]:.1e}, time {errors[1]:.1e}")
    assert got.dtype is dtype and max(errors) <= limit
