"""Face, preset, pair and instruction nodes run in a real ComfyUI server, on tiny files of the published structure."""

import copy

import numpy as np
import pytest
import torch
from pack.tests.oracles.graphs import APPLY, applied, latent, link, node, picture, said, sampled
from pack.tools.comfyui.client import GraphError
from pack.tools.miniature.face_analysis import face_models
from pack.tools.miniature.faces import PICTURE, weights_of
from pack.tools.miniature.models import adapter_weights, randomise, tiny_model, widths_of
from PIL import Image
from safetensors.torch import save_file
from skimage import data
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

pytestmark = pytest.mark.faces

FILES = {  # renamed: nothing in a name says what a file is
    "one": ("FaceID", "SD1.5", True),
    "two": ("FaceID Plus", "SD1.5", True),
    "three": ("CSGO", "SDXL", False),
    "four": ("Instruct", "SD1.5", False),
}
VISION = {"hidden_size": PICTURE, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
          "image_size": 56, "patch_size": 14, "projection_dim": 32}  # fmt: skip


@pytest.fixture(scope="module")
def files(server, client, adapters, encoders):
    """Adapters, an encoder in Hugging Face's layout, face models, and a photograph in the server's input folder."""
    for name, (kind, base, lora) in FILES.items():
        widths = widths_of(tiny_model(base))
        save_file(
            weights_of(kind, widths[:60] if kind == "CSGO" else widths, 96, lora=lora), adapters / f"{name}.safetensors"
        )
    randomise(CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION)), 4).save_pretrained(encoders / "vision")
    astronaut = data.astronaut()
    folder = server.folder / "models" / "insightface" / "models" / "buffalo_l"
    face_models(folder, torch.from_numpy(astronaut).float() / 255)
    path = server.folder / "astronaut.png"
    Image.fromarray(np.asarray(astronaut)).save(path)
    return client.upload(path)


def faces(photograph, no_face, adapter="one", **inputs):
    """Three images, the middle one without a face, each of which goes to the image of its number."""
    given = {"pick": "largest", "index": 0, "several": "average per picture", "plus_version": "auto", "structure": 1.0}
    return {
        "model": node("TinyModel", kind="SD1.5"),
        "adapter": node("IPAdapterCoreLoad", ip_adapter_name=f"{adapter}.safetensors"),
        "analysis": node("IPAdapterCoreLoadFaceAnalysis", model_name="buffalo_l", provider="CPU"),
        "photograph": node("LoadImage", image=photograph),
        "nobody": node("EmptyImage", width=512, height=512, batch_size=1, color=8421504),
        "two": node("ImageBatch", image1=link("photograph"), image2=link("nobody")),
        "three": node("ImageBatch", image1=link("two"), image2=link("photograph")),
        "prompt": node(
            "IPAdapterCoreEncodeFace", ip_adapter=link("adapter"), image=link("three"), insightface=link("analysis"),
            no_face=no_face, **given | inputs,
        ),
        "lora": node("IPAdapterCoreApplyLora", model=link("model"), ip_adapter=link("adapter"), strength=0.7),
        **applied(link("lora"), link("adapter"), link("prompt"), references="one per frame"),
        **sampled(link(APPLY), width=96, batch=3),
    }  # fmt: skip


def with_model(prompt, name):
    """The sampler on another node's model."""
    other = copy.deepcopy(prompt)
    other["sampler"]["inputs"]["model"] = link(name)
    return other


def test_a_batch_with_a_missing_face_in_a_server(client, files):
    """Skip finishes with no effect on the middle image, repeat gives it the face before, fail names its number."""
    skip = client.run(faces(files, "skip"))
    assert "2 faces in 3 images, 2 taken" in said(skip, "prompt") and "without effect: 1" in said(skip, "prompt")
    assert "on CPUExecutionProvider" in said(skip, "analysis")
    assert "LoRA of rank 4" in said(skip, "lora") and "128 weights at 0.7" in said(skip, "lora")
    assert len(skip["prompt"]["images"]) == 3

    plain = latent(client, client.run(with_model(faces(files, "skip"), "lora")))
    bare = latent(client, client.run(with_model(faces(files, "skip"), "model")))
    skipped = latent(client, skip)
    assert not torch.allclose(plain, bare, atol=1e-3)
    assert torch.allclose(skipped[1], plain[1], atol=1e-5)
    assert not any(torch.allclose(skipped[i], plain[i], atol=1e-3) for i in (0, 2))

    repeat = client.run(faces(files, "repeat"))
    assert "no face, repeated: 1 (as 0)" in said(repeat, "prompt")
    repeated = latent(client, repeat)
    assert torch.allclose(repeated[0], skipped[0], atol=1e-5) and torch.allclose(repeated[2], skipped[2], atol=1e-5)
    assert not torch.allclose(repeated[1], skipped[1], atol=1e-3)

    with pytest.raises(GraphError, match=r"no face in 1 of 3 images \(numbers 1, counted from 0\)"):
        client.run(faces(files, "fail"))


def test_plus_with_its_encoder_in_a_server(client, files):
    """An encoder from Load Image Encoder; without one the message names the node to connect it to."""
    prompt = faces(files, "skip", "two", plus_version="v2", structure=0.5)
    with pytest.raises(GraphError, match=r"two.safetensors needs an image encoder, none is connected.*Encode Face"):
        client.run(prompt)
    prompt["encoder"] = node("IPAdapterCoreLoadEncoder", encoder_name="vision/model.safetensors")
    prompt["prompt"]["inputs"]["clip_vision"] = link("encoder")
    outputs = client.run(prompt)
    assert "FaceID Plus v2: as chosen" in said(outputs, "prompt")
    prompt["prompt"]["inputs"]["structure"] = 0.0
    assert not torch.allclose(latent(client, outputs), latent(client, client.run(prompt)), atol=1e-3)


def preset(photograph, name):
    """Everything from the preset loader, whatever the files are called."""
    prompt = faces(photograph, "skip")
    for gone in ("adapter", "analysis", "lora"):
        del prompt[gone]
    prompt["preset"] = node(
        "IPAdapterCoreLoadPreset", model=link("model"), preset=name, lora_strength=0.7, provider="CPU"
    )
    outputs = {"ip_adapter": 1, "insightface": 3, "clip_vision": 2}
    prompt["prompt"]["inputs"] |= {key: link("preset", slot) for key, slot in outputs.items()}
    prompt[APPLY]["inputs"] |= {"model": link("preset"), "ip_adapter": link("preset", 1)}
    return prompt


def test_presets_find_renamed_files_in_a_server(client, files):
    """FaceID among FaceID, Plus, CSGO and Instruct by structure, with its LoRA: the very latent of the single nodes."""
    outputs = client.run(preset(files, "FACEID"))
    report = said(outputs, "preset")
    assert "one.safetensors" in report and "FaceID by its tensors" in report
    assert "128 weights at 0.7" in report and "det_10g.onnx finds faces" in report
    assert torch.equal(latent(client, outputs), latent(client, client.run(faces(files, "skip"))))

    outputs = client.run(preset(files, "FACEID PLUS V2"))
    report = said(outputs, "preset")
    assert "two.safetensors" in report and "image encoder: model.safetensors" in report
    assert "FaceID Plus v2: the preset says so" in said(outputs, "prompt")

    with pytest.raises(GraphError, match="no file for the preset|exists for"):
        client.run(preset(files, "KOLORS PLUS"))


def sdxl(prompt):
    """The sampler's side of a workflow for a tiny SDXL."""
    return {"model": node("TinyModel", kind="SDXL"), **prompt, **sampled(link(APPLY), width=96, pooled=1280)}


def test_content_and_style_in_a_server(client, files):
    """CSGO: another content and another style each change the result."""

    def run(content, style, weight=1.0):
        prompt = sdxl(
            {
                "adapter": node("IPAdapterCoreLoad", ip_adapter_name="three.safetensors"),
                "encoder": node("IPAdapterCoreLoadEncoder", encoder_name="vision/model.safetensors"),
                "content": picture(content),
                "style": picture(style),
                "prompt": node(
                    "IPAdapterCoreEncodeContentStyle", ip_adapter=link("adapter"), content=link("content"),
                    style=link("style"), clip_vision=link("encoder"), fit="as trained",
                ),
                **applied(link("model"), link("adapter"), link("prompt"), weight=weight),
            }
        )  # fmt: skip
        return latent(client, client.run(prompt))

    first, other_content, other_style, silent = run(3, 4), run(5, 4), run(3, 5), run(3, 4, 0.0)
    assert not torch.allclose(first, other_content, atol=1e-4)
    assert not torch.allclose(first, other_style, atol=1e-4)
    assert not torch.allclose(other_content, other_style, atol=1e-4)
    assert not torch.allclose(first, silent, atol=1e-3)


def test_an_instruction_in_a_server(client, files):
    """IP-Adapter-Instruct: another instruction for the same image changes the result."""

    def run(instruction):
        prompt = {
            "model": node("TinyModel", kind="SD1.5"),
            "adapter": node("IPAdapterCoreLoad", ip_adapter_name="four.safetensors"),
            "encoder": node("IPAdapterCoreLoadEncoder", encoder_name="vision/model.safetensors"),
            "words": node("TinyTextEncoder"),
            "picture": picture(),
            "prompt": node(
                "IPAdapterCoreEncodeInstructed", ip_adapter=link("adapter"), image=link("picture"),
                clip_vision=link("encoder"), clip=link("words"), instruction=instruction, prompt="a cat",
                negative_prompt="", fit="as trained",
            ),
            **applied(link("model"), link("adapter"), link("prompt")),
            **sampled(link(APPLY), width=96),
        }  # fmt: skip
        return latent(client, client.run(prompt))

    style, colours = run("use the style"), run("use the colours")
    assert torch.isfinite(style).all() and not torch.allclose(style, colours, atol=1e-4)


def test_an_encoder_that_nobody_knows_in_a_server(client, files, encoders):
    """The error box says what was found and what to do."""
    save_file(adapter_weights("base", [32], 96), encoders / "not_an_encoder.safetensors")
    prompt = {
        "model": node("TinyModel", kind="SD1.5"),
        "load": node("IPAdapterCoreLoadEncoder", encoder_name="not_an_encoder.safetensors"),
        **applied(link("model"), link("adapter"), link("seen")),
        **sampled(link(APPLY), width=96),
    }
    prompt["adapter"] = node("IPAdapterCoreLoad", ip_adapter_name="four.safetensors")
    prompt["picture"] = picture()
    prompt["seen"] = node("IPAdapterCoreEncode", ip_adapter=link("adapter"), image=link("picture"),
                          clip_vision=link("load"), fit="as trained")  # fmt: skip
    with pytest.raises(GraphError, match="not_an_encoder.safetensors: found no vision model"):
        client.run(prompt)
