"""InstantCharacter in a real ComfyUI server through stock nodes: two encoders from files, a latent, a mask, a saved prompt."""

import copy

import pytest
import torch
from pack.tests.oracles.graphs import APPLY, applied, latent, link, node, picture, said, sampled
from pack.tools.comfyui.client import GraphError
from pack.tools.miniature.dino import SIGLIP, save_dino, theirs_dino, theirs_siglip
from pack.tools.miniature.instant_character import character_weights, instant_character, nested
from pack.tools.miniature.transformers import tiny_transformer
from safetensors.torch import save_file

pytestmark = pytest.mark.adapters

FLUX, ADAPTER = "renamed_i.safetensors", "character.bin"
WIDTH = SIGLIP["hidden_size"] + 64


@pytest.fixture(scope="module")
def files(server, adapters, encoders, transformers):
    """A model, the adapter as it is published, and both encoders: SigLIP a file, DINOv2 a folder."""
    network = tiny_transformer("FLUX", in_channels=16, out_channels=16).model.diffusion_model
    save_file({key: one.clone() for key, one in network.state_dict().items()}, transformers / FLUX)
    torch.save(nested(character_weights(instant_character(5, 256, feature=WIDTH))), adapters / ADAPTER)
    siglip = {
        f"vision_model.{key.removeprefix('vision_model.')}": one for key, one in theirs_siglip().state_dict().items()
    }
    save_file({key: one.clone() for key, one in siglip.items()}, encoders / "siglip_so400m.safetensors")
    save_dino(theirs_dino(hidden_size=64), encoders / "dinov2-giant")


@pytest.fixture
def graph(files):
    """Stock loaders, the pack's nodes, ComfyUI's sampler."""
    return {
        "model": node("UNETLoader", unet_name=FLUX, weight_dtype="default"),
        "adapter": node("IPAdapterCoreLoad", ip_adapter_name=ADAPTER),
        "siglip": node("IPAdapterCoreLoadEncoder", encoder_name="siglip_so400m.safetensors"),
        "dino": node("IPAdapterCoreLoadEncoder", encoder_name="dinov2-giant/model.safetensors"),
        "picture": picture(),
        "prompt": node(
            "IPAdapterCoreEncode", ip_adapter=link("adapter"), image=link("picture"), clip_vision=link("siglip"),
            second_clip_vision=link("dino"), fit="as trained",
        ),
        **applied(link("model"), link("adapter"), link("prompt")),
        **sampled(link(APPLY), width=64, pooled=32, channels=16),
    }  # fmt: skip


def test_instant_character_runs_in_a_server(client, graph, capsys):
    """The reference changes the latent clearly; weight 0, an empty mask and no adapter are the same to the bit."""
    run = client.run(graph)
    first = latent(client, run)
    assert "FLUX.1, InstantCharacter" in said(run, "adapter") and "6 image tokens" in said(run, "adapter")
    plain = copy.deepcopy(graph)
    plain["sampler"]["inputs"]["model"] = link("model")
    without = latent(client, client.run(plain))
    effect = float((first - without).norm() / without.norm())
    with capsys.disabled():
        print(f"\n  InstantCharacter, effect in a server {effect:.3f}")
    assert torch.isfinite(first).all() and effect > 0.02
    silent, nowhere = copy.deepcopy(graph), copy.deepcopy(graph)
    silent[APPLY]["inputs"]["weight"] = 0.0
    nowhere["mask"] = node("SolidMask", value=0.0, width=64, height=48)
    nowhere[APPLY]["inputs"]["mask"] = link("mask")
    assert torch.equal(latent(client, client.run(silent)), without)
    assert torch.equal(latent(client, client.run(nowhere)), without)


def test_either_order_and_a_saved_prompt_are_the_same_image(client, graph):
    """The encoders swapped; the image prompt written and read again, without any encoder."""
    first = latent(client, client.run(graph))
    swapped, stored = copy.deepcopy(graph), copy.deepcopy(graph)
    swapped["prompt"]["inputs"] |= {"clip_vision": link("dino"), "second_clip_vision": link("siglip")}
    assert torch.equal(latent(client, client.run(swapped)), first)
    stored["save_prompt"] = node("IPAdapterCoreSave", image_prompt=link("prompt"), filename_prefix="character")
    outputs = client.run(stored)
    name = "".join(outputs["save_prompt"]["text"])
    stored.pop("save_prompt")
    stored.pop("siglip")
    stored.pop("dino")
    stored["prompt"] = node("IPAdapterCoreLoadPrompt", file=name)
    assert torch.equal(latent(client, client.run(stored)), first)


def test_one_encoder_alone_is_said(client, graph):
    """With which node both are loaded and where they go."""
    del graph["prompt"]["inputs"]["second_clip_vision"]
    with pytest.raises(
        GraphError,
        match="through SigLIP-so400m-384 and DINOv2-giant, found siglip_vision_model: load.*second_clip_vision",
    ):
        client.run(graph)
