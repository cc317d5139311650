"""Whole runs of miniature transformers in a real ComfyUI server, through its own loaders where they know any size."""

import copy

import pytest
import torch
from pack.tests.oracles.graphs import APPLY, LATENT, applied, latent, link, node, picture, sampled
from pack.tools.miniature.models import randomise
from pack.tools.miniature.perception import tiny_perception
from pack.tools.miniature.transformers import (
    instantx_flux,
    instantx_sd3,
    lucifer,
    perceiver,
    tiny_transformer,
    weights_of,
    xlabs,
)
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, SiglipVisionConfig, SiglipVisionModel

pytestmark = pytest.mark.dit

SIZES = {"hidden_size": 128, "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 64,
         "patch_size": 16}  # fmt: skip
FILES = {"FLUX": "renamed_a.safetensors", "SD3": "renamed_b.safetensors"}  # what Load Diffusion Model looks into
CASES = {
    "FLUX XLabs": ("FLUX", xlabs(2, 256, 64, feature=48), "clip/model.safetensors"),
    "FLUX InstantX": ("FLUX", instantx_flux(5, 256, 64, feature=128), "siglip.safetensors"),
    "SD3.5 InstantX": ("SD3", instantx_sd3(3, 192, feature=128), "siglip.safetensors"),
    "Anima LuciferTC": ("Anima", lucifer(3, 128, feature=128), "siglip.safetensors"),
    "Anima PE-Core": ("Anima", perceiver(3, 128, feature=128), "perception.pt"),
}


@pytest.fixture(scope="module")
def files(adapters, encoders, transformers):
    """Everything on disk, in the layouts and namings of the published files."""
    for name, file in FILES.items():
        model = tiny_transformer(name, in_channels=16, out_channels=16)
        weights = {key: tensor.clone() for key, tensor in model.model.diffusion_model.state_dict().items()}
        save_file(weights, transformers / file)
    for case, (_, shapes, _) in CASES.items():
        weights = {key: tensor * (0.2 if key.startswith("lora") else 1) for key, tensor in weights_of(shapes).items()}
        save_file(weights, adapters / f"{case}.safetensors")
    siglip = randomise(SiglipVisionModel(SiglipVisionConfig(**SIZES)), 3)
    save_file(
        {f"vision_model.{key.removeprefix('vision_model.')}": tensor for key, tensor in siglip.state_dict().items()},
        encoders / "siglip.safetensors",
    )
    torch.save(tiny_perception(), encoders / "perception.pt")
    clip = CLIPVisionModelWithProjection(CLIPVisionConfig(**SIZES, projection_dim=48))
    randomise(clip, 4).save_pretrained(encoders / "clip")


def graph(case):
    """Load Diffusion Model (or the tests' own node), the pack's four nodes, and ComfyUI's sampler."""
    name, _, encoder = CASES[case]
    stock = node("UNETLoader", unet_name=FILES.get(name), weight_dtype="default")
    return {
        "model": stock if name in FILES else node("TinyModel", kind=name),
        "adapter": node("IPAdapterCoreLoad", ip_adapter_name=f"{case}.safetensors"),
        "encoder": node("IPAdapterCoreLoadEncoder", encoder_name=encoder),
        "picture": picture(),
        "prompt": node(
            "IPAdapterCoreEncode",
            ip_adapter=link("adapter"),
            image=link("picture"),
            clip_vision=link("encoder"),
            fit="as trained",
        ),
        **applied(link("model"), link("adapter"), link("prompt")),
        **sampled(link(APPLY), width=64, pooled=32, channels=16),
    }


def without(prompt):
    """The same sampler on the model itself."""
    plain = copy.deepcopy(prompt)
    plain["sampler"]["inputs"]["model"] = link("model")
    return plain


def changed(prompt, **inputs):
    """Other inputs of Apply IP-Adapter."""
    other = copy.deepcopy(prompt)
    other[APPLY]["inputs"] |= inputs
    return other


@pytest.mark.parametrize("case", CASES)
def test_dit_runs_in_a_server(client, files, case, capsys):
    """The adapter changes the latent clearly; weight 0 is no adapter to the bit; the same workflow twice is the same latent."""
    prompt = graph(case)
    first = latent(client, client.run(prompt))
    plain = latent(client, client.run(without(prompt)))
    silent = latent(client, client.run(changed(prompt, weight=0.0)))
    prompt["save"]["inputs"]["filename_prefix"] = "again"
    again = latent(client, client.run(changed(prompt, weight=1.0)))
    effect = float((first - plain).norm() / plain.norm())
    with capsys.disabled():
        print(f"\n  {case:16} effect in a server {effect:.3f}")
    assert torch.isfinite(first).all() and effect > 0.005
    assert torch.equal(silent, plain)
    assert torch.equal(again, first)


@pytest.mark.parametrize("case", CASES)
def test_dit_window_and_batch_in_a_server(client, files, case):
    """An application whose window has ended before the first step adds nothing; two images are two different ones."""
    prompt = graph(case)
    prompt[LATENT]["inputs"]["batch_size"] = 2
    two = latent(client, client.run(prompt))
    assert two.shape[0] == 2 and not torch.equal(two[0], two[1])
    late = latent(client, client.run(changed(prompt, start_percent=1.0)))
    plain = latent(client, client.run(without(prompt)))
    if case == "Anima LuciferTC":
        assert not torch.equal(late, plain)  # the LoRA that its adapter was trained with stays
    else:
        assert torch.equal(late, plain)
