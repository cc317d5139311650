"""PuLID in a real ComfyUI server through stock loaders: from a photograph to a latent, two people by masks, weight 0."""

import copy

import pytest
import torch
from pack.tests.oracles.graphs import APPLY, applied, latent, link, node, said, sampled
from pack.tools.comfyui.client import GraphError
from pack.tools.miniature.eva_clip import tiny_eva
from pack.tools.miniature.face_analysis import face_models
from pack.tools.miniature.face_parser import parser_weights
from pack.tools.miniature.models import tiny_model, widths_of
from pack.tools.miniature.pulid import id_former, pulid_flux
from pack.tools.miniature.pulid_sdxl import id_encoder, pulid_v1, pulid_v1_1
from pack.tools.miniature.transformers import tiny_transformer, weights_of
from PIL import Image
from safetensors.torch import save_file
from skimage import data

pytestmark = [pytest.mark.adapters, pytest.mark.faces]

FLUX, ADAPTER = "renamed_p.safetensors", "who.safetensors"
SDXL = {"PuLID v1": "first.bin", "PuLID v1.1": "second.safetensors"}
TEXT = 96


@pytest.fixture(scope="module")
def photograph(server, client, adapters, encoders, transformers):
    """A model, an adapter, EVA02-CLIP, face models with a parser, and a photograph in the server's input folder."""
    network = tiny_transformer("FLUX", in_channels=16, out_channels=16).model.diffusion_model
    save_file({key: one.clone() for key, one in network.state_dict().items()}, transformers / FLUX)
    save_file(weights_of(pulid_flux(2, 256, former=id_former(64, condition=544, look=128))), adapters / ADAPTER)
    torch.save(tiny_eva(), encoders / "eva.pt")
    widths, sizes = widths_of(tiny_model("SDXL")), {"condition": 544, "look": 128}
    torch.save(weights_of(pulid_v1(widths, TEXT, id_encoder(TEXT, **sizes))), adapters / SDXL["PuLID v1"])
    save_file(weights_of(pulid_v1_1(widths, TEXT, id_former(TEXT, **sizes))), adapters / SDXL["PuLID v1.1"])
    astronaut = data.astronaut()
    models = server.folder / "models"
    face_models(models / "insightface" / "models" / "antelopev2", torch.from_numpy(astronaut).float() / 255)
    (models / "facexlib").mkdir(exist_ok=True)
    torch.save(parser_weights(), models / "facexlib" / "parsing_bisenet.pth")
    path = server.folder / "astronaut_pulid.png"
    Image.fromarray(astronaut).save(path)
    return client.upload(path)


def graph(photograph):
    """Stock loaders, the pack's nodes, ComfyUI's sampler."""
    return {
        "model": node("UNETLoader", unet_name=FLUX, weight_dtype="default"),
        "adapter": node("IPAdapterCoreLoad", ip_adapter_name=ADAPTER),
        "encoder": node("IPAdapterCoreLoadEncoder", encoder_name="eva.pt"),
        "analysis": node("IPAdapterCoreLoadFaceAnalysis", model_name="antelopev2", provider="CPU"),
        "photograph": node("LoadImage", image=photograph),
        "prompt": node(
            "IPAdapterCoreEncodeFace", ip_adapter=link("adapter"), image=link("photograph"), insightface=link("analysis"),
            clip_vision=link("encoder"), pick="largest", index=0, no_face="fail", several="concatenate", plus_version="auto",
            structure=1.0,
        ),
        **applied(link("model"), link("adapter"), link("prompt")),
        **sampled(link(APPLY), width=64, pooled=32, channels=16),
    }  # fmt: skip


def test_pulid_runs_in_a_server(client, photograph, capsys):
    """The face changes the latent clearly; weight 0 is no adapter to the bit; half a mask leaves the other nearly alone."""
    prompt = graph(photograph)
    run = client.run(prompt)
    first = latent(client, run)
    assert "parsing_bisenet.pth tells the face" in said(run, "analysis") and "FLUX.1, PuLID" in said(run, "adapter")
    assert "1 faces in 1 images, 1 taken" in said(run, "prompt") and "trained with antelopev2" in said(run, "prompt")
    plain = copy.deepcopy(prompt)
    plain["sampler"]["inputs"]["model"] = link("model")
    without = latent(client, client.run(plain))
    silent = copy.deepcopy(prompt)
    silent[APPLY]["inputs"]["weight"] = 0.0
    effect = float((first - without).norm() / without.norm())
    with capsys.disabled():
        print(f"\n  PuLID, effect in a server {effect:.3f}")
    assert torch.isfinite(first).all() and effect > 0.02
    assert torch.equal(latent(client, client.run(silent)), without)
    nowhere = copy.deepcopy(prompt)
    nowhere["mask"] = node("SolidMask", value=0.0, width=64, height=48)
    nowhere[APPLY]["inputs"]["mask"] = link("mask")
    assert torch.equal(latent(client, client.run(nowhere)), without)


@pytest.mark.parametrize("release", SDXL)
def test_pulid_for_sdxl_runs_in_a_server(client, photograph, release, capsys):
    """Weight 0 is no adapter to the bit; each method, number of zeros and second photograph gives another image."""
    prompt = graph(photograph) | {
        "model": node("TinyModel", kind="SDXL"),
        **sampled(link(APPLY), width=TEXT, pooled=1280),
    }
    prompt["adapter"]["inputs"]["ip_adapter_name"] = SDXL[release]
    prompt["both"] = node("ImageBatch", image1=link("photograph"), image2=link("photograph"))

    def run(**inputs):
        other = copy.deepcopy(prompt)
        other["sampler"]["inputs"]["model"] = link(APPLY if inputs else "model")
        other[APPLY]["inputs"] |= inputs
        outputs = client.run(other)
        return latent(client, outputs), outputs

    first, outputs = run(weight=0.8)
    plain, _ = run()
    effect = float((first - plain).norm() / plain.norm())
    with capsys.disabled():
        print(f"\n  {release}, effect in a server {effect:.3f}")
    assert f"{release}\n" in said(outputs, "adapter") and torch.isfinite(first).all() and effect > 0.02
    assert torch.equal(run(weight=0.0)[0], plain)
    assert torch.equal(run(weight=0.8, identity_method="fidelity")[0], first)
    others = [run(weight=0.8, **more)[0] for more in (
        {"identity_method": "style"}, {"identity_method": "neutral"}, {"zero_tokens": 0},
    )]  # fmt: skip
    prompt["prompt"]["inputs"]["image"] = link("both")
    others += [run(weight=0.8)[0], first]
    assert not any(torch.equal(one, other) for number, one in enumerate(others) for other in others[:number])


def test_without_a_parser_the_file_is_named(client, photograph, server):
    """The sentence says which file belongs where."""
    prompt = graph(photograph)
    parser = server.folder / "models" / "facexlib" / "parsing_bisenet.pth"
    away = parser.rename(parser.with_suffix(".away"))
    prompt["analysis"]["inputs"]["provider"] = "CUDA"  # another input, so that the node runs anew
    try:
        with pytest.raises(GraphError, match="no face parser.*parsing_bisenet.pth.*models/facexlib"):
            client.run(prompt)
    finally:
        away.rename(parser)
