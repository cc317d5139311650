"""Image encoders that ComfyUI does not know: the same outputs as transformers itself, from disk only."""

import json
import socket

import pytest
import torch
from pack.ipadapter_core.checkpoint.detect import detect
from pack.ipadapter_core.encoders.clip_file import csd_weights
from pack.ipadapter_core.encoders.clip_vision import EncodeOptions, encode_references
from pack.ipadapter_core.encoders.features import zero_pixel_features
from pack.ipadapter_core.encoders.hugging_face import HuggingFaceEncoder
from pack.ipadapter_core.encoders.load import load_image_encoder
from pack.ipadapter_core.errors import EncoderMismatchError
from pack.tools.miniature.faces import loaded, weights_of
from pack.tools.miniature.models import adapter_weights, randomise
from safetensors.torch import save_file
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Dinov2Config,
    Dinov2Model,
    SiglipVisionConfig,
    SiglipVisionModel,
)

import comfy.model_management

pytestmark = pytest.mark.faces

SIZES = {
    "hidden_size": 128,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 56,
}
KINDS = {
    "CLIP ViT-B": lambda: CLIPVisionModelWithProjection(CLIPVisionConfig(**SIZES, patch_size=14, projection_dim=32)),
    "SigLIP": lambda: SiglipVisionModel(SiglipVisionConfig(**SIZES, patch_size=14)),
    "DINOv2": lambda: Dinov2Model(Dinov2Config(**SIZES, patch_size=14)),
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Nothing may be fetched."""

    def refuse(*_args, **_kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def pixels():
    return torch.rand(2, 56, 56, 3, generator=torch.Generator().manual_seed(1)).mul(255).round() / 255


def saved(kind, folder, **preprocessor):
    network = randomise(KINDS[kind](), seed=4)
    network.save_pretrained(folder)
    if preprocessor:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return network


def expected(network, mean, std):
    normal = (pixels().movedim(-1, 1) - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    with torch.no_grad():
        return network(pixel_values=normal, output_hidden_states=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_in_hugging_face_layout(kind, tmp_path):
    """config.json and model.safetensors, as `image_encoder/` has them; by the folder or by the file in it."""
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    network = saved(kind, tmp_path, image_mean=mean, image_std=std, size={"height": 56, "width": 56})
    out = expected(network, mean, std)
    for path in (tmp_path, tmp_path / "model.safetensors"):
        encoder = load_image_encoder(path)
        assert isinstance(encoder, HuggingFaceEncoder)
        made = encoder.encode_image(pixels(), crop=False)
        pooled = out.image_embeds if kind == "CLIP ViT-B" else out.pooler_output
        assert torch.allclose(made.penultimate_hidden_states, out.hidden_states[-2], atol=1e-5)
        assert torch.allclose(made.last_hidden_state, out.last_hidden_state, atol=1e-5)
        assert torch.allclose(made["image_embeds"], pooled, atol=1e-5)
        assert torch.allclose(made.all_hidden_states, torch.stack(out.hidden_states, dim=1), atol=1e-5)


def test_siglip_from_one_file_keeps_its_pooling_head(tmp_path):
    """Sizes from shapes; ComfyUI's own class leaves the head out."""
    network = randomise(KINDS["SigLIP"](), seed=4).half().float()  # ComfyUI keeps encoders in float16
    weights = {
        key if key.startswith("vision_model.") else f"vision_model.{key}": t for key, t in network.state_dict().items()
    }
    save_file(weights, tmp_path / "siglip.safetensors")
    out = expected(network, (0.5,) * 3, (0.5,) * 3)
    made = load_image_encoder(tmp_path / "siglip.safetensors").encode_image(pixels(), crop=False)
    assert torch.allclose(made.pooler_output, out.pooler_output, atol=1e-5)
    assert torch.allclose(made.penultimate_hidden_states, out.hidden_states[-2], atol=1e-5)
    del weights["vision_model.head.attention.in_proj_weight"]
    save_file(weights, tmp_path / "cut.safetensors")
    with pytest.raises(EncoderMismatchError, match="1 of its keys are missing"):
        load_image_encoder(tmp_path / "cut.safetensors")


def openai_names(network):
    """A CLIP vision model of transformers in OpenAI's naming, as CSD saves its backbone."""
    own = {key.removeprefix("vision_model."): tensor for key, tensor in network.state_dict().items()}
    named = {"class_embedding": own["embeddings.class_embedding"], "conv1.weight": own["embeddings.patch_embedding.weight"],
             "positional_embedding": own["embeddings.position_embedding.weight"]}  # fmt: skip
    for theirs, ours in (("ln_pre", "pre_layrnorm"), ("ln_post", "post_layernorm")):
        named |= {f"{theirs}.{part}": own[f"{ours}.{part}"] for part in ("weight", "bias")}
    for i in range(3):
        block, layer = f"transformer.resblocks.{i}.", f"encoder.layers.{i}."
        for part in ("weight", "bias"):
            attention = [own[f"{layer}self_attn.{name}_proj.{part}"] for name in "qkv"]
            named[f"{block}attn.in_proj_{part}"] = torch.cat(attention)
            for theirs, ours in (("attn.out_proj", "self_attn.out_proj"), ("ln_1", "layer_norm1"), ("ln_2", "layer_norm2"),
                                 ("mlp.c_fc", "mlp.fc1"), ("mlp.c_proj", "mlp.fc2")):  # fmt: skip
                named[f"{block}{theirs}.{part}"] = own[f"{layer}{ours}.{part}"]
    return named


@pytest.mark.parametrize("naming", ["transformers", "OpenAI"])
def test_clip_of_another_size_from_one_file(naming, tmp_path, caplog):
    """ViT-B without its config.json: every size is in the shapes; that its activation is OpenAI's is said."""
    network = randomise(KINDS["CLIP ViT-B"](), seed=4)
    projection = network.visual_projection.weight
    if naming == "OpenAI":
        weights = {f"visual.{key}": tensor.clone() for key, tensor in openai_names(network).items()}
        weights["visual.proj"] = projection.T.contiguous()
    else:
        weights = {f"vision_model.{key.removeprefix('vision_model.')}": tensor
                   for key, tensor in network.state_dict().items() if "projection" not in key}  # fmt: skip
        weights["visual_projection.weight"] = projection
    save_file(weights, tmp_path / "vit_b.safetensors")
    encoder = load_image_encoder(tmp_path / "vit_b.safetensors")
    out = expected(network, encoder.image_mean, encoder.image_std)
    made = encoder.encode_image(pixels(), crop=False)
    assert torch.allclose(made["image_embeds"], out.image_embeds, atol=1e-5)
    assert torch.allclose(made.penultimate_hidden_states, out.hidden_states[-2], atol=1e-5)
    assert "taken for OpenAI's, whose activation is quick GELU" in caplog.text


def test_a_folder_of_a_width_that_comfyui_knows_but_not_its_depth(tmp_path):
    """As wide as ViT-H with three layers: through transformers."""
    config = CLIPVisionConfig(
        **SIZES | {"hidden_size": 1280, "num_attention_heads": 20}, patch_size=14, projection_dim=32
    )
    CLIPVisionModelWithProjection(config).save_pretrained(tmp_path)
    assert isinstance(load_image_encoder(tmp_path), HuggingFaceEncoder)


def test_csd_makes_style_embeddings(tmp_path):
    """backbone @ last_layer_style at length one: what IP-Adapter-Art reads, and no other encoder has."""
    config = CLIPVisionConfig(**SIZES, patch_size=14, projection_dim=64, hidden_act="quick_gelu")
    network = randomise(CLIPVisionModelWithProjection(config), seed=4)
    weights = {f"module.backbone.{key}": tensor.clone() for key, tensor in openai_names(network).items()}
    style = network.visual_projection.weight.T.contiguous()
    weights |= {"module.last_layer_style": style, "module.last_layer_content": torch.zeros_like(style)}
    torch.save({"model_state_dict": weights, "epoch": 1}, tmp_path / "csd.pth")
    encoder = load_image_encoder(tmp_path / "csd.pth")
    out = expected(network, encoder.image_mean, encoder.image_std).image_embeds
    made = encoder.encode_image(pixels(), crop=False).style_embeds
    assert torch.allclose(made, out / out.norm(dim=-1, keepdim=True), atol=1e-5)
    assert "visual_projection.weight" in csd_weights(weights)

    adapter = loaded(weights_of("Art", [32, 64], 96), tmp_path)
    prompt, _ = encode_references(adapter.spec, encoder, pixels(), EncodeOptions())
    assert torch.allclose(prompt.references[1].image.features, made[1:], atol=1e-4)
    assert not prompt.references[1].image.negative.any()


def test_behind_the_same_socket(tmp_path):
    """What our encode nodes ask of ComfyUI's class: sizes, features, the image of nothing, managed memory."""
    network = saved("CLIP ViT-B", tmp_path)
    encoder = load_image_encoder(tmp_path)
    weights = adapter_weights("base", [32], 96, feature=32)
    spec = detect({key: tuple(tensor.shape) for key, tensor in weights.items()}, "b.safetensors")
    prompt, seen = encode_references(spec, encoder, torch.rand(1, 90, 120, 4), EncodeOptions())
    assert seen.shape == (1, 56, 56, 3) and prompt.references[0].image.features.shape == (1, 32)
    with torch.no_grad():
        nothing = network(pixel_values=torch.zeros(1, 3, 56, 56), output_hidden_states=True).hidden_states[-2]
    assert torch.allclose(zero_pixel_features(encoder), nothing, atol=1e-5)
    assert encoder.patcher in [one.model for one in comfy.model_management.current_loaded_models]


def test_what_is_no_encoder_is_said(tmp_path):
    """An unknown kind, a file that lacks its config, something else, a broken file; remote code is never run."""
    folder = tmp_path / "strange"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(EncoderMismatchError, match="describes a bert, expected one of clip"):
        load_image_encoder(folder)
    empty = tmp_path / "empty"
    empty.mkdir()
    KINDS["SigLIP"]().config.save_pretrained(empty)
    with pytest.raises(EncoderMismatchError, match="empty: no model.safetensors or pytorch_model.bin beside"):
        load_image_encoder(empty)
    network = KINDS["CLIP ViT-B"]()
    weights = {key if "visual_projection" in key else f"vision_model.{key.removeprefix('vision_model.')}": tensor
               for key, tensor in network.state_dict().items()}  # fmt: skip
    del weights["visual_projection.weight"]
    save_file(weights, tmp_path / "vit_b.safetensors")
    with pytest.raises(EncoderMismatchError, match="a vision model of 3 layers of width 128 without a config.json"):
        load_image_encoder(tmp_path / "vit_b.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(EncoderMismatchError, match="found no vision model"):
        load_image_encoder(tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"<html>")
    with pytest.raises(EncoderMismatchError, match="broken.safetensors: cannot be read"):
        load_image_encoder(tmp_path / "broken.safetensors")
