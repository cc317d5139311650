"""Workflows that provoke each error about files that are damaged, of another kind, or made to do harm."""

import json

import torch
from pack.tools.miniature.executing import Step
from pack.tools.miniature.faces import weights_of
from pack.tools.miniature.files import Workshop
from pack.tools.miniature.models import adapter_weights
from safetensors.torch import save_file
from torch import Tensor

WIDTHS = [32] * 3
ENCODER = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1, "image_size": 28,
           "patch_size": 14}  # fmt: skip


def a_lora_among_adapters(shop: Workshop) -> Step:
    """A file that belongs in another folder."""
    return shop.load("detail_lora.safetensors", {"lora_unet_mid_block.lora_down.weight": torch.zeros(4, 4)})


def whole_numbers_for_weights(shop: Workshop) -> Step:
    """An adapter that was quantised in a way that no layer computes with."""
    return shop.load("int8.safetensors", {key: one.to(torch.int8) for key, one in _plain().items()})


def weights_that_are_not_finite(shop: Workshop) -> Step:
    """A training that failed."""
    return shop.load("nan.safetensors", _plain() | {"ip_adapter.3.to_v_ip.weight": torch.full((32, 96), torch.nan)})


def tensors_without_numbers(shop: Workshop) -> Step:
    """A tensor of no rows."""
    return shop.load("empty.safetensors", _plain() | {"ip_adapter.3.to_v_ip.weight": torch.zeros(0, 96)})


def a_layer_of_a_high_number(shop: Workshop) -> Step:
    """More layers than any model has."""
    return shop.load("many.safetensors", _plain() | {"ip_adapter.2001.to_k_ip.weight": torch.zeros(32, 96)})


def a_projector_of_odd_sizes(shop: Workshop) -> Step:
    """More heads than channels."""
    sizes = {
        "latents": (1, 1, 1),
        "proj_in.weight": (1, 8),
        "proj_out.weight": (96, 1),
        "layers.0.0.to_q.weight": (128, 1),
    }
    projector = {f"image_proj.{key}": torch.zeros(shape) for key, shape in sizes.items()}
    layers = {key: one for key, one in _plain().items() if key.startswith("ip_adapter")}
    return shop.load("odd.safetensors", projector | layers)


def a_lora_of_two_ranks(shop: Workshop) -> Step:
    """A FaceID file whose LoRA does not fit together."""
    weights = weights_of("FaceID", WIDTHS, 96, lora=True)
    return shop.load("faceid_ranks.safetensors", weights | {"ip_adapter.2.to_q_lora.up.weight": torch.zeros(32, 9)})


def tensors_with_a_gap_between_them(shop: Workshop) -> Step:
    """A header that leaves bytes unused, which the reader of safetensors refuses."""
    step = shop.load("gap.safetensors", _plain())
    path = shop.place("ipadapter", "gap.safetensors")
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for entry in header.values():
        entry["data_offsets"] = [place + 8 for place in entry["data_offsets"]]
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8) + content[8 + length :])
    return step


def foreign_weights_too_deep(shop: Workshop) -> Step:
    """Another pack's adapter, nested deeper than any file."""
    inner: dict = {}
    for _ in range(9):
        inner = {"a": inner}
    foreign = Step("a loader of another pack", make=lambda: {"image_proj": inner, "ip_adapter": {}})
    return Step("IPAdapterEncoder", {"ipadapter": foreign, "image": shop.picture()})


def an_encoder_of_whole_numbers(shop: Workshop) -> Step:
    """An encoder that was quantised."""
    return _encoder_file(shop, "int8_vision.safetensors", {"vision_model.x": torch.zeros(4, 4, dtype=torch.int8)})


def an_encoder_that_is_not_finite(shop: Workshop) -> Step:
    """NaN among its weights."""
    return _encoder_file(shop, "nan_vision.safetensors", {"vision_model.x": torch.full((4, 4), torch.nan)})


def an_encoder_of_unknown_depth(shop: Workshop) -> Step:
    """A CLIP vision model of five layers without its projection and its config.json."""
    weights = {"vision_model.embeddings.position_embedding.weight": torch.zeros(5, 64)}
    weights["vision_model.encoder.layers.4.layer_norm1.weight"] = torch.zeros(64)
    return _encoder_file(shop, "five_layers.safetensors", weights)


def a_clip_of_odd_sizes(shop: Workshop) -> Step:
    """The first tensors of a CLIP vision model, none of them of a usual shape."""
    names = ("vision_model.embeddings.patch_embedding.weight", "vision_model.encoder.layers.0.mlp.fc1.weight",
             "visual_projection.weight")  # fmt: skip
    weights = {name: torch.zeros(64, 64) for name in names}
    weights["vision_model.embeddings.position_embedding.weight"] = torch.zeros(5, 64)
    return _encoder_file(shop, "odd_clip.safetensors", weights)


def part_of_a_vit_l(shop: Workshop) -> Step:
    """A file cut so that ComfyUI's own reader stumbles over it."""
    weights = {f"vision_model.encoder.layers.{layer}.layer_norm1.bias": torch.zeros(64) for layer in range(24)}
    weights["vision_model.encoder.layers.22.layer_norm1.weight"] = torch.zeros(64)
    return _encoder_file(shop, "part.safetensors", weights)


def a_folder_with_a_broken_config(shop: Workshop) -> Step:
    """A config.json that is no JSON."""
    return _encoder_folder(shop, "broken_config", "{", {})


def a_folder_with_a_list_for_a_config(shop: Workshop) -> Step:
    """A config.json that holds something else."""
    return _encoder_folder(shop, "list_config", "[]", {})


def a_folder_with_absurd_sizes(shop: Workshop) -> Step:
    """A config.json with a million layers."""
    config = {"model_type": "clip_vision_model"} | ENCODER | {"num_hidden_layers": 1_000_000}
    return _encoder_folder(shop, "deep_config", json.dumps(config), {})


def a_folder_whose_sizes_do_not_fit(shop: Workshop) -> Step:
    """A width that is no multiple of the heads."""
    config = {"model_type": "clip_vision_model"} | ENCODER | {"num_attention_heads": 7}
    return _encoder_folder(shop, "heads", json.dumps(config), {})


def embeds_of_too_many_images(shop: Workshop) -> Step:
    """Two nodes that double a prompt again and again."""
    adapter = shop.adapter()
    encoded = shop.encoded(adapter)
    many = Step("a loop of Combine Image Prompts", make=lambda: _times(encoded.value(), 5000))
    return Step("IPAdapterCoreApply", {"model": shop.checkpoint(), "ip_adapter": adapter, "image_prompt": many})


def _times(prompt, count: int):
    return prompt.with_references(prompt.references * count)


def _encoder_file(shop: Workshop, name: str, weights: dict[str, Tensor]) -> Step:
    save_file(weights, shop.place("clip_vision", name))
    return Step("IPAdapterCoreLoadEncoder", {"encoder_name": name})


def _encoder_folder(shop: Workshop, name: str, config: str, weights: dict[str, Tensor]) -> Step:
    shop.place("clip_vision", f"{name}/config.json").write_text(config)
    return _encoder_file(shop, f"{name}/model.safetensors", weights or {"vision_model.x": torch.zeros(4, 4)})


def _plain() -> dict[str, Tensor]:
    return adapter_weights("base", WIDTHS, 96)


DAMAGED_GRAPHS = (
    a_lora_among_adapters, whole_numbers_for_weights, weights_that_are_not_finite, tensors_without_numbers,
    a_layer_of_a_high_number, a_projector_of_odd_sizes, a_lora_of_two_ranks, tensors_with_a_gap_between_them,
    foreign_weights_too_deep, an_encoder_of_whole_numbers, an_encoder_that_is_not_finite, an_encoder_of_unknown_depth,
    a_clip_of_odd_sizes, part_of_a_vit_l, a_folder_with_a_broken_config, a_folder_with_a_list_for_a_config,
    a_folder_with_absurd_sizes, a_folder_whose_sizes_do_not_fit, embeds_of_too_many_images,
)  # fmt: skip
