"""Workflows that provoke each error about files: adapters, image encoders, face models, presets."""

import json

import torch
from pack.tools.miniature.executing import Step
from pack.tools.miniature.files import Workshop
from pack.tools.miniature.models import adapter_weights
from pack.tools.miniature.transformers import lucifer
from pack.tools.miniature.transformers import weights_of as dit_weights
from safetensors.torch import save_file

WIDTHS = [32] * 3
PREFIX = "vision_model."


def a_web_page(shop: Workshop) -> Step:
    """A web page was saved instead of the file."""
    shop.place("ipadapter", "page.safetensors").write_text("<html>Not found</html>")
    return Step("IPAdapterCoreLoad", {"ip_adapter_name": "page.safetensors"})


def no_projector(shop: Workshop) -> Step:
    """Only the layers are in the file."""
    return shop.load("layers_only.safetensors", {k: t for k, t in _plain().items() if "image_proj" not in k})


def no_layers(shop: Workshop) -> Step:
    """Only the projector is in the file."""
    return shop.load("projector_only.safetensors", {k: t for k, t in _plain().items() if "image_proj" in k})


def another_kind_of_file(shop: Workshop) -> Step:
    """Something that no adapter holds."""
    return shop.load("extended.safetensors", _plain() | {"style_encoder.weight": torch.zeros(1)})


def unknown_layer_parts(shop: Workshop) -> Step:
    """A part of a layer that we do not know."""
    return shop.load("more_parts.safetensors", _plain() | {"ip_adapter.1.to_z_ip.weight": torch.zeros(1)})


def unknown_projector(shop: Workshop) -> Step:
    """Layers that we know, a projector that we do not."""
    layers = {key: tensor for key, tensor in _plain().items() if "image_proj" not in key}
    return shop.load("new_projector.safetensors", layers | {"image_proj.other.weight": torch.zeros(1)})


def a_layer_is_missing(shop: Workshop) -> Step:
    """Keys are missing in the middle."""
    return shop.load("cut.safetensors", {k: t for k, t in _plain().items() if k != "ip_adapter.3.to_v_ip.weight"})


def layers_of_two_widths(shop: Workshop) -> Step:
    """Keys and values that read tokens of different widths."""
    return shop.load("mixed.safetensors", _plain() | {"ip_adapter.3.to_v_ip.weight": torch.zeros(32, 48)})


def tensors_that_do_not_fit(shop: Workshop) -> Step:
    """A norm of another length."""
    return shop.load("damaged.safetensors", _plain() | {"image_proj.norm.bias": torch.zeros(7)})


def csgo_for_another_model(shop: Workshop) -> Step:
    """CSGO has as many layers as SDXL's down and up blocks."""
    return shop.face_adapter("csgo.safetensors", "CSGO", "SDXL", layers=50)


def half_a_lora(shop: Workshop) -> Step:
    """A FaceID file whose LoRA lacks a tensor."""
    step = shop.face_adapter("faceid.safetensors", "FaceID", lora=True)
    from safetensors.torch import load_file

    weights = load_file(shop.place("ipadapter", "faceid.safetensors"))
    del weights["ip_adapter.2.to_q_lora.up.weight"]
    shop.load("faceid.safetensors", weights)
    return step


def unsupported_training(shop: Workshop) -> Step:
    """A training option that leaves no trace in the tensors."""
    return shop.load("anima.safetensors", dit_weights(lucifer(2, 128)), ip_norm_keys="True")


def a_broken_encoder(shop: Workshop) -> Step:
    """A download that broke off."""
    shop.place("clip_vision", "broken.safetensors").write_bytes(b"<html>")
    return Step("IPAdapterCoreLoadEncoder", {"encoder_name": "broken.safetensors"})


def no_encoder_at_all(shop: Workshop) -> Step:
    """Another kind of model."""
    save_file({"a": torch.zeros(1)}, shop.place("clip_vision", "vae.safetensors"))
    return Step("IPAdapterCoreLoadEncoder", {"encoder_name": "vae.safetensors"})


def a_language_model(shop: Workshop) -> Step:
    """The config.json beside the file belongs to something else."""
    shop.place("clip_vision", "words/config.json").write_text(json.dumps({"model_type": "bert"}))
    save_file({"a": torch.zeros(1)}, shop.place("clip_vision", "words/model.safetensors"))
    return Step("IPAdapterCoreLoadEncoder", {"encoder_name": "words/model.safetensors"})


def a_folder_without_weights(shop: Workshop) -> Step:
    """A folder in Hugging Face's layout whose weights are not where they belong."""
    shop.place("clip_vision", "vit_b/config.json").write_text(json.dumps({"model_type": "clip_vision_model"}))
    save_file({"a": torch.zeros(1)}, shop.place("clip_vision", "vit_b/model_part_2.safetensors"))
    return Step("IPAdapterCoreLoadEncoder", {"encoder_name": "vit_b/model_part_2.safetensors"})


def half_a_siglip(shop: Workshop) -> Step:
    """A SigLIP file that lacks layers."""
    weights = {f"{PREFIX}embeddings.patch_embedding.weight": torch.zeros(128, 3, 14, 14),
               f"{PREFIX}embeddings.position_embedding.weight": torch.zeros(16, 128),
               f"{PREFIX}encoder.layers.0.mlp.fc1.weight": torch.zeros(256, 128)}  # fmt: skip
    save_file(weights, shop.place("clip_vision", "siglip.safetensors"))
    return Step("IPAdapterCoreLoadEncoder", {"encoder_name": "siglip.safetensors"})


def half_a_style_encoder(shop: Workshop) -> Step:
    """A CSD file that lacks layers."""
    weights = {"last_layer_style": torch.zeros(64, 32), "backbone.conv1.weight": torch.zeros(64, 3, 14, 14),
               "backbone.positional_embedding": torch.zeros(17, 64),
               "backbone.transformer.resblocks.0.attn.in_proj_weight": torch.zeros(192, 64),
               "backbone.transformer.resblocks.0.mlp.c_fc.weight": torch.zeros(128, 64)}  # fmt: skip
    save_file(weights, shop.place("clip_vision", "csd.safetensors"))
    return Step("IPAdapterCoreLoadEncoder", {"encoder_name": "csd.safetensors"})


def no_face_models(shop: Workshop) -> Step:
    """The folder is empty."""
    shop.place("insightface/models/buffalo_l", "README.txt").touch()
    return Step("IPAdapterCoreLoadFaceAnalysis", {"model_name": "buffalo_l"})


def broken_face_models(shop: Workshop) -> Step:
    """A model that onnxruntime cannot read."""
    shop.place("insightface/models/antelopev2", "scrfd_10g_bnkps.onnx").write_bytes(b"no model")
    return Step("IPAdapterCoreLoadFaceAnalysis", {"model_name": "antelopev2"})


def no_adapter_for_a_preset(shop: Workshop) -> Step:
    """Nothing in models/ipadapter suits the preset."""
    shop.adapter("ip-adapter_sd15.safetensors")
    return Step("IPAdapterCoreLoadPreset", {"model": shop.checkpoint(), "preset": "PLUS (high strength)"})


def no_such_preset(shop: Workshop) -> Step:
    """A preset that nobody has published for this model."""
    given = {"model": shop.checkpoint("SDXL"), "preset": "FULL FACE (portraits, SD1.5)"}
    return Step("IPAdapterCoreLoadPreset", given)


def no_encoder_for_a_preset(shop: Workshop) -> Step:
    """The adapter is there, its image encoder is not."""
    shop.adapter("ip-adapter_sd15.safetensors")
    return Step("IPAdapterCoreLoadPreset", {"model": shop.checkpoint(), "preset": "STANDARD (medium strength)"})


def a_preset_for_a_transformer(shop: Workshop) -> Step:
    """Presets look for UNets."""
    return Step("IPAdapterCoreLoadPreset", {"model": shop.transformer("FLUX"), "preset": "PLUS (high strength)"})


def _plain() -> dict[str, torch.Tensor]:
    return adapter_weights("base", WIDTHS, 96)


FILE_GRAPHS = (
    a_web_page, no_projector, no_layers, another_kind_of_file, unknown_layer_parts, unknown_projector, a_layer_is_missing,
    layers_of_two_widths, tensors_that_do_not_fit, csgo_for_another_model, half_a_lora, unsupported_training,
    a_broken_encoder, no_encoder_at_all, a_language_model, a_folder_without_weights, half_a_siglip, half_a_style_encoder,
    no_face_models, broken_face_models, no_adapter_for_a_preset, no_such_preset, no_encoder_for_a_preset,
    a_preset_for_a_transformer,
)  # fmt: skip
