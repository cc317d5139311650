"""Lynx on Wan in a real ComfyUI server through stock loaders: a photograph, a video of nine frames, masks by frame."""

import copy

import pytest
import torch
from pack.tests.oracles.graphs import APPLY, LATENT, applied, latent, link, node, said, sampled
from pack.tools.comfyui.client import GraphError
from pack.tools.miniature.face_analysis import face_models
from pack.tools.miniature.ir_se50 import recogniser_weights
from pack.tools.miniature.lynx import full_layers, lite_layers, resampler
from pack.tools.miniature.transformers import tiny_transformer, weights_of
from PIL import Image
from safetensors.torch import save_file
from skimage import data

pytestmark = [pytest.mark.adapters, pytest.mark.faces]

WAN = "renamed_w.safetensors"
SIZES = {"num_heads": 1, "freq_dim": 256, "text_dim": 4096}  # what Load Diffusion Model takes for granted
KINDS = {"lite": "lynx_lite/ip_layers.safetensors", "full": "lynx_full/ip_layers.safetensors"}
FACES, PROVIDERS = "lynx_set", {"lite": "CPU", "full": "CUDA"}  # other inputs, so that each node runs anew
ARCFACE = "recognition_arcface_ir_se50.pth"


@pytest.fixture(scope="module")
def photograph(server, client, adapters, transformers):
    """A model, both adapters in two files each, face models with IR-SE50, and a photograph in the server's input folder."""
    network = tiny_transformer("Wan", **SIZES).model.diffusion_model
    save_file({key: one.clone() for key, one in network.state_dict().items()}, transformers / WAN)
    for kind, width, layers in (("lite", 64, lite_layers(2, 128)), ("full", 96, full_layers(4, 128, 96))):
        (adapters / f"lynx_{kind}").mkdir()
        save_file(weights_of(layers), adapters / KINDS[kind])
        save_file(weights_of(resampler(width, prefix="")), adapters / f"lynx_{kind}" / "resampler.safetensors")
    astronaut = data.astronaut()
    models = server.folder / "models"
    face_models(models / "insightface" / "models" / FACES, torch.from_numpy(astronaut).float() / 255)
    (models / "facexlib").mkdir(exist_ok=True)
    torch.save(recogniser_weights(), models / "facexlib" / ARCFACE)
    path = server.folder / "astronaut_lynx.png"
    Image.fromarray(astronaut).save(path)
    return client.upload(path)


def graph(photograph, kind="lite", **loading):
    """Stock loaders, the pack's nodes, ComfyUI's empty video and sampler."""
    prompt = {
        "model": node("UNETLoader", unet_name=WAN, weight_dtype="default"),
        "adapter": node("IPAdapterCoreLoad", ip_adapter_name=KINDS[kind], **loading),
        "analysis": node("IPAdapterCoreLoadFaceAnalysis", model_name=FACES, provider=PROVIDERS[kind]),
        "photograph": node("LoadImage", image=photograph),
        "prompt": node(
            "IPAdapterCoreEncodeFace", ip_adapter=link("adapter"), image=link("photograph"), insightface=link("analysis"),
            pick="largest", index=0, no_face="fail", several="concatenate", plus_version="auto", structure=1.0,
        ),
        **applied(link("model"), link("adapter"), link("prompt")),
        **sampled(link(APPLY), width=4096, channels=16),
    }  # fmt: skip
    prompt[LATENT] = node("EmptyHunyuanLatentVideo", width=64, height=48, length=9, batch_size=1)
    return prompt


def by_frames(prompt):
    """One application in the video's first frame, a second one in all that follow."""
    both = copy.deepcopy(prompt)
    frame = {"width": 64, "height": 48}
    both |= {
        "white": node("EmptyImage", **frame, batch_size=1, color=0xFFFFFF),
        "black": node("EmptyImage", **frame, batch_size=8, color=0),
        "film": node("ImageBatch", image1=link("white"), image2=link("black")),
        "first": node("ImageToMask", image=link("film"), channel="red"),
        "rest": node("InvertMask", mask=link("first")),
    }
    second = copy.deepcopy(both[APPLY])
    both[APPLY]["inputs"]["mask"] = link("first")
    second["inputs"] |= {"model": link(APPLY), "mask": link("rest")}
    both["second"] = second
    both["sampler"]["inputs"]["model"] = link("second")
    return both


@pytest.mark.parametrize("kind", KINDS)
def test_lynx_runs_in_a_server(client, photograph, kind, capsys):
    """The second file is found by itself; the face changes the video clearly; weight 0 is no adapter to the bit."""
    prompt = graph(photograph, kind)
    run = client.run(prompt)
    first = latent(client, run)
    assert "Wan 14B, Lynx" in said(run, "adapter") and "5 image tokens" in said(run, "adapter")
    assert f"{ARCFACE} knows faces for Lynx" in said(run, "analysis")
    plain = copy.deepcopy(prompt)
    plain["sampler"]["inputs"]["model"] = link("model")
    without = latent(client, client.run(plain))
    silent = copy.deepcopy(prompt)
    silent[APPLY]["inputs"]["weight"] = 0.0
    effect = float((first - without).norm() / without.norm())
    with capsys.disabled():
        print(f"\n  Lynx {kind}, effect in a server {effect:.3f}")
    assert first.shape == (1, 16, 3, 6, 8) and torch.isfinite(first).all() and effect > 0.02
    assert torch.equal(latent(client, client.run(silent)), without)


def test_two_masks_by_frame(client, photograph):
    """Together they are the whole; the first one alone is another video, and so is the second."""
    prompt = graph(photograph)
    both, whole = by_frames(prompt), latent(client, client.run(prompt))
    assert float((latent(client, client.run(both)) - whole).norm() / whole.norm()) < 1e-4
    alone = copy.deepcopy(both)
    alone["sampler"]["inputs"]["model"] = link(APPLY)
    first = latent(client, client.run(alone))
    one_frame = (first - whole).transpose(0, 2).flatten(1).norm(dim=1)
    assert float(one_frame.max()) > 0.01 and float(one_frame[0]) < float(one_frame[1:].min())


def test_two_experts(client, photograph):
    """Wan 2.2 samples with two models in turn: the same adapter and prompt on both."""
    prompt = graph(photograph)
    prompt["low"] = node("UNETLoader", unet_name=WAN, weight_dtype="default")
    prompt["apply_low"] = copy.deepcopy(prompt[APPLY])
    prompt["apply_low"]["inputs"]["model"] = link("low")
    common = {
        key: one
        for key, one in prompt["sampler"]["inputs"].items()
        if key not in ("model", "latent_image", "denoise", "seed")
    }
    common |= {"noise_seed": 7, "steps": 4}
    halves = (
        {"model": link(APPLY), "latent_image": link(LATENT), "add_noise": "enable", "start_at_step": 0, "end_at_step": 2,
         "return_with_leftover_noise": "enable"},
        {"model": link("apply_low"), "latent_image": link("high"), "add_noise": "disable", "start_at_step": 2,
         "end_at_step": 10000, "return_with_leftover_noise": "disable"},
    )  # fmt: skip
    prompt["high"], prompt["sampler"] = (node("KSamplerAdvanced", **common | half) for half in halves)
    one = copy.deepcopy(prompt)
    one["sampler"]["inputs"]["model"] = link("low")
    both, first = latent(client, client.run(prompt)), latent(client, client.run(one))
    assert torch.isfinite(both).all() and float((both - first).norm() / both.norm()) > 0.005


def test_files_that_do_not_belong_together(client, photograph):
    """Lite layers with the full resampler: one sentence, before anything is sampled."""
    with pytest.raises(GraphError, match="tokens of width 64.*makes image tokens of width 96"):
        client.run(graph(photograph, resampler_name="lynx_full/resampler.safetensors"))
