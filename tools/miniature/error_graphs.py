"""Workflows that provoke each error about what is connected or set; `ERROR_GRAPHS` lists them all."""

import sys
from types import SimpleNamespace
from unittest.mock import patch

import torch
from pack.ipadapter_core.encoders.face.analysis import load_analysis
from pack.ipadapter_core.encoders.face.onnx_session import Provider
from pack.tools.miniature.error_graphs_character import CHARACTER_GRAPHS
from pack.tools.miniature.error_graphs_damaged import DAMAGED_GRAPHS
from pack.tools.miniature.error_graphs_encoders import ENCODER_GRAPHS
from pack.tools.miniature.error_graphs_families import FAMILY_GRAPHS
from pack.tools.miniature.error_graphs_files import FILE_GRAPHS
from pack.tools.miniature.error_graphs_further import FURTHER_GRAPHS
from pack.tools.miniature.error_graphs_inputs import INPUT_GRAPHS
from pack.tools.miniature.error_graphs_lynx import LYNX_GRAPHS
from pack.tools.miniature.error_graphs_old import OLD_GRAPHS
from pack.tools.miniature.error_graphs_pulid import PULID_GRAPHS
from pack.tools.miniature.error_graphs_python import PYTHON_GRAPHS
from pack.tools.miniature.error_graphs_sampling import SAMPLING_GRAPHS
from pack.tools.miniature.error_graphs_saved import SAVED_GRAPHS
from pack.tools.miniature.error_graphs_splits import SPLIT_GRAPHS
from pack.tools.miniature.error_graphs_training import TRAINING_GRAPHS
from pack.tools.miniature.error_graphs_weights import (
    a_block_that_is_not_there,
    a_mixture_of_pairs,
    masks_in_a_mixture,
    more_masks_than_references,
    more_weights_than_prompts,
    names_and_numbers,
    no_block,
    no_colon,
    no_number,
    points_out_of_order,
    points_outside_the_run,
    prompts_of_two_adapters,
    weights_that_add_up_to_nothing,
)
from pack.tools.miniature.error_graphs_words import WORD_GRAPHS
from pack.tools.miniature.executing import Step
from pack.tools.miniature.files import Workshop
from pack.tools.miniature.transformers import instantx_flux, instantx_sd3, lucifer, xlabs


def a_face_adapter_in_the_wrong_node(shop: Workshop) -> Step:
    """FaceID reads faces."""
    return shop.encoded(shop.face_adapter("faceid.safetensors", "FaceID"))


def no_encoder_connected(shop: Workshop) -> Step:
    """The adapter needs one."""
    step = shop.encoded(shop.adapter())
    del step.inputs["clip_vision"]
    return step


def the_wrong_encoder(shop: Workshop) -> Step:
    """ViT-bigG where ViT-H belongs."""
    return shop.encoded(shop.adapter(), clip_vision=shop.encoder("ViT-bigG", 1664, 1280))


def an_encoder_without_a_pooling_head(shop: Workshop) -> Step:
    """InstantX' FLUX adapter reads what only *Load Image Encoder* keeps."""
    adapter = shop.transformer_adapter("flux_instantx.safetensors", instantx_flux(2, 96, 64, feature=1152))
    return shop.encoded(adapter, clip_vision=shop.encoder("SigLIP", 1152, 64))


def a_whole_image_as_a_face(shop: Workshop) -> Step:
    """This adapter reads whole images."""
    return _face(shop, shop.adapter())


def no_face_analysis(shop: Workshop) -> Step:
    """A preset without faces gives none."""
    step = _face(shop, shop.face_adapter("faceid.safetensors", "FaceID"))
    step.inputs["insightface"] = Step("Load IP-Adapter Preset", note="PLUS", make=lambda: None)
    return step


def a_foreign_face_analysis(shop: Workshop) -> Step:
    """Another pack's object that does not know who a face is."""
    face = SimpleNamespace(bbox=[8.0, 8.0, 60.0, 60.0], kps=None, embedding=None, det_score=0.9)
    analysis = SimpleNamespace(det_model=SimpleNamespace(input_size=(640, 640)), get=lambda _: [face])
    step = _face(shop, shop.face_adapter("faceid.safetensors", "FaceID"))
    step.inputs["insightface"] = Step("a loader of another pack", make=lambda: analysis)
    return step


def no_face_in_the_image(shop: Workshop) -> Step:
    """And `no_face` says to stop."""
    step = _face(shop, shop.face_adapter("faceid.safetensors", "FaceID"))
    step.inputs["no_face"] = "fail"
    return step


def no_onnxruntime(shop: Workshop) -> Step:
    """Face analysis without its package."""
    shop.place("insightface/models/buffalo_l", "det_10g.onnx").write_bytes(b"a model")

    def make():
        with patch.dict(sys.modules, {"onnxruntime": None}):
            load_analysis(shop.models / "insightface/models/buffalo_l", Provider.CPU)

    return Step("Load Face Analysis", note="where onnxruntime is not installed", make=make)


def pairs_for_a_plain_adapter(shop: Workshop) -> Step:
    """Only CSGO reads pairs."""
    given = {"ip_adapter": shop.adapter(), "content": shop.picture("a cat"), "style": shop.picture("a drawing")}
    return Step("IPAdapterCoreEncodeContentStyle", given | {"clip_vision": shop.encoder()})


def the_wrong_text_encoder(shop: Workshop) -> Step:
    """Instruct reads CLIP-L's words."""
    adapter = shop.face_adapter("ip-adapter-instruct.safetensors", "Instruct")
    states = SimpleNamespace(clone=lambda: states, clip_layer=lambda _: None, tokenize=str)
    states.encode_from_tokens = lambda _: torch.zeros(1, 77, 32)
    given = {
        "ip_adapter": adapter,
        "image": shop.picture(),
        "clip": Step("Load CLIP", note="Qwen", make=lambda: states),
    }
    return Step("IPAdapterCoreEncodeInstructed", given | {"clip_vision": shop.encoder(width=64, projection=32)})


def a_prompt_for_another_adapter(shop: Workshop) -> Step:
    """The encode node was given another file."""
    plus = shop.adapter("ip-adapter-plus_sd15.safetensors", kind="plus")
    return shop.applied(shop.checkpoint(), plus, shop.encoded(shop.adapter()))


def an_adapter_for_another_unet(shop: Workshop) -> Step:
    """SD1.5's adapter on SDXL."""
    return shop.applied(shop.checkpoint("SDXL"), shop.adapter())


def an_adapter_for_a_unet_on_flux(shop: Workshop) -> Step:
    """SD1.5's adapter on FLUX.1."""
    return shop.applied(shop.transformer("FLUX"), shop.adapter())


def a_model_without_weights(shop: Workshop) -> Step:
    """Nobody has published an adapter for it."""
    return shop.applied(shop.transformer("FLUX", called="QwenImage"), shop.adapter())


def flux_of_another_size(shop: Workshop) -> Step:
    """An adapter for FLUX.1 on a cut-down relative."""
    adapter = shop.transformer_adapter("flux_xlabs.safetensors", xlabs(19, 96, 64, feature=768))
    return shop.applied(shop.transformer("FLUX"), adapter, _vector(shop, adapter))


def sd3_of_another_size(shop: Workshop) -> Step:
    """SD3.5 Large's adapter on SD3.5 Medium."""
    adapter = shop.transformer_adapter("sd35_instantx.safetensors", instantx_sd3(38, 192, feature=64))
    return shop.applied(shop.transformer("SD3"), adapter, _patches(shop, adapter))


def anima_of_another_size(shop: Workshop) -> Step:
    """An adapter with other layers."""
    adapter = shop.transformer_adapter("anima.safetensors", lucifer(28, 128, feature=64))
    return shop.applied(shop.transformer("Anima"), adapter, _patches(shop, adapter))


def kolors_without_its_text_projection(shop: Workshop) -> Step:
    """Kolors' FaceID on a model that lost `encoder_hid_proj`."""
    adapter = shop.face_adapter("kolors_faceid.safetensors", "Kolors FaceID Plus", "SDXL")
    prompt = Step("Encode Face", note="for this file", make=lambda: _face_prompt(adapter))
    return shop.applied(shop.checkpoint("SDXL", adm_in_channels=5632), adapter, prompt)


def a_lora_that_is_not_there(shop: Workshop) -> Step:
    """Portrait files hold none."""
    adapter = shop.face_adapter("portrait.safetensors", "Portrait")
    return Step("IPAdapterCoreApplyLora", {"model": shop.checkpoint(), "ip_adapter": adapter})


def a_lora_for_a_unet_on_flux(shop: Workshop) -> Step:
    """FaceID's LoRA on FLUX.1."""
    adapter = shop.face_adapter("faceid.safetensors", "FaceID", lora=True)
    return Step("IPAdapterCoreApplyLora", {"model": shop.transformer("FLUX"), "ip_adapter": adapter})


def a_lora_on_other_weight_names(shop: Workshop) -> Step:
    """A model whose attention weights are not where a LoRA looks for them."""
    adapter = shop.face_adapter("faceid.safetensors", "FaceID", lora=True)

    def make():
        model = shop.checkpoint().value()
        attention = model.model.diffusion_model.middle_block[1].transformer_blocks[0].attn1
        del attention.to_q.weight
        return model

    model = Step("a loader of another pack", note="SD1.5, quantised", make=make)
    return Step("IPAdapterCoreApplyLora", {"model": model, "ip_adapter": adapter})


def a_preset_for_another_model(shop: Workshop) -> Step:
    """Style and composition are tables for two models."""
    adapter = shop.transformer_adapter("flux_xlabs.safetensors", xlabs(2, 256, 64, feature=768))
    weights = Step("IPAdapterCoreLayerWeights", {"preset": "style transfer", "blocks": ""})
    return shop.applied(shop.transformer("FLUX"), adapter, _vector(shop, adapter), layer_weights=weights)


def _face(shop: Workshop, adapter: Step) -> Step:
    nobody = SimpleNamespace(det_model=SimpleNamespace(input_size=(640, 640)), get=lambda _: [])
    analysis = Step("Load Face Analysis", note="buffalo_l", make=lambda: nobody)
    return Step("IPAdapterCoreEncodeFace", {"ip_adapter": adapter, "image": shop.picture(), "insightface": analysis})


def _face_prompt(adapter: Step):
    from pack.tools.miniature.transformers import prompt_for

    return prompt_for(adapter.value(), torch.zeros(1, 512))


def _vector(shop: Workshop, adapter: Step) -> Step:
    return shop.encoded(adapter, clip_vision=shop.encoder("ViT-L", 64, 768))


def _patches(shop: Workshop, adapter: Step) -> Step:
    from pack.tools.miniature.transformers import noise, prompt_for

    return Step("Encode Reference Image", note="for this file",
                make=lambda: prompt_for(adapter.value(), noise(1, 4, 64)))  # fmt: skip


SETTING_GRAPHS = (
    a_face_adapter_in_the_wrong_node, no_encoder_connected, the_wrong_encoder, an_encoder_without_a_pooling_head,
    a_whole_image_as_a_face, no_face_analysis, a_foreign_face_analysis, no_face_in_the_image, no_onnxruntime,
    pairs_for_a_plain_adapter, the_wrong_text_encoder, more_weights_than_prompts, masks_in_a_mixture, a_mixture_of_pairs,
    weights_that_add_up_to_nothing, more_masks_than_references, prompts_of_two_adapters, a_prompt_for_another_adapter,
    an_adapter_for_another_unet, an_adapter_for_a_unet_on_flux, a_model_without_weights, flux_of_another_size,
    sd3_of_another_size, anima_of_another_size, kolors_without_its_text_projection, a_lora_that_is_not_there,
    a_lora_for_a_unet_on_flux, a_lora_on_other_weight_names, a_block_that_is_not_there, a_preset_for_another_model,
    points_out_of_order, points_outside_the_run, no_colon, no_number, no_block, names_and_numbers,
)  # fmt: skip

ERROR_GRAPHS = (
    *FILE_GRAPHS, *DAMAGED_GRAPHS, *SETTING_GRAPHS, *FAMILY_GRAPHS, *INPUT_GRAPHS, *FURTHER_GRAPHS, *SAVED_GRAPHS,
    *OLD_GRAPHS, *SAMPLING_GRAPHS, *SPLIT_GRAPHS, *PYTHON_GRAPHS, *PULID_GRAPHS, *WORD_GRAPHS, *ENCODER_GRAPHS,
    *TRAINING_GRAPHS, *LYNX_GRAPHS, *CHARACTER_GRAPHS,
)  # fmt: skip
