"""Image encoders that ComfyUI's own loader does not know, through transformers: from disk only, never from a hub."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import comfy.clip_model
import comfy.model_management
import comfy.model_patcher
from comfy.clip_vision import Output

from ..errors import EncoderMismatchError, is_out_of_memory

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HEAD_WIDTH = 64  # of every CLIP by OpenAI
HALF = (0.5, 0.5, 0.5)  # SigLIP's mean and deviation


class Preparation(NamedTuple):
    """What an encoder wants of a picture: the side of its square, and the colours' mean and deviation."""

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Network(nn.Module):
    """A transformers vision model that is called like ComfyUI's: `(pixel_values, intermediate_output)`."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, pixel_values: Tensor, intermediate_output: int | str = -2) -> tuple[Tensor, Tensor, Tensor, None]:
        """(B, 3, S, S) -> last hidden states, those of the wanted layer or of all, pooled, nothing."""
        dtype = next(self.network.parameters()).dtype
        out = self.network(pixel_values=pixel_values.to(dtype), output_hidden_states=True)
        states = out.hidden_states
        wanted = torch.stack(states, dim=1) if intermediate_output == "all" else states[int(intermediate_output)]
        pooled = getattr(out, "image_embeds", None)
        pooled = out.pooler_output if pooled is None else pooled
        return out.last_hidden_state.float(), wanted.float(), pooled.float(), None


class HuggingFaceEncoder:
    """A transformers vision model behind the interface of ComfyUI's `ClipVisionModel`, its memory managed by ComfyUI.

    `image_embeds` is what the model pools: CLIP's projected class token, SigLIP's attention pooling. With `style`, it is
    also given as `style_embeds`, of length one.
    """

    def __init__(self, network: nn.Module, preparation: Preparation, style: bool = False):
        self.model_type = network.config.model_type
        self.image_size, self.image_mean, self.image_std = preparation
        self.style = style
        self.load_device = comfy.model_management.text_encoder_device()
        offload_device = comfy.model_management.text_encoder_offload_device()
        self.model = Network(network).eval().requires_grad_(False).to(offload_device)
        self.dtype = next(network.parameters()).dtype
        # the plain patcher: transformers' layers cannot stream their weights
        self.patcher = comfy.model_patcher.ModelPatcher(self.model, self.load_device, offload_device)

    def encode_image(self, image: Tensor, crop: bool = True) -> Output:
        """Pictures (B, H, W, 3) to the outputs that ComfyUI's encoders have."""
        comfy.model_management.load_model_gpu(self.patcher)
        pixels = comfy.clip_model.clip_preprocess(
            image.to(self.load_device), size=self.image_size, mean=self.image_mean, std=self.image_std, crop=crop
        ).float()
        with torch.inference_mode():
            last, states, pooled, _ = self.model(pixel_values=pixels, intermediate_output="all")
        device = comfy.model_management.intermediate_device()
        made = Output()
        made["last_hidden_state"], made["image_embeds"] = last.to(device), pooled.to(device)
        made["penultimate_hidden_states"] = states[:, -2].to(device)
        made["pooler_output"] = made["image_embeds"]
        made["all_hidden_states"] = states.to(device)
        made["image_sizes"], made["mm_projected"] = [pixels.shape[1:]] * len(pixels), None
        if self.style:
            made["style_embeds"] = nn.functional.normalize(made["image_embeds"], dim=-1)
        return made


def _models() -> dict[str, Any]:
    from transformers import AutoModel, CLIPVisionModelWithProjection, SiglipVisionModel

    return {
        "clip": CLIPVisionModelWithProjection,
        "clip_vision_model": CLIPVisionModelWithProjection,
        "siglip": SiglipVisionModel,
        "siglip_vision_model": SiglipVisionModel,
        "dinov2": AutoModel,
    }


def load_folder(folder: Path) -> HuggingFaceEncoder:
    """An encoder from a folder in Hugging Face's layout: config.json and the weights, with or without a preprocessor.

    Raises `EncoderMismatchError` for kinds that we do not know and for folders that cannot be read.
    """
    kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type", "unknown")
    known = _models()
    if kind not in known:
        raise EncoderMismatchError(
            f"{folder.name}/config.json describes a {kind}, expected one of {', '.join(known)}: choose another encoder in "
            "Load Image Encoder"
        )
    try:
        network = known[kind].from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, dtype=torch.float32, low_cpu_mem_usage=False
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        if is_out_of_memory(error):
            raise
        raise EncoderMismatchError(
            f"{folder.name}: transformers cannot load it ({str(error).splitlines()[0]}): download config.json and "
            "model.safetensors into the same folder again"
        ) from error
    return HuggingFaceEncoder(network, _preparation(folder, kind, network.config))


def _preparation(folder: Path, kind: str, config: Any) -> Preparation:
    """From preprocessor_config.json where there is one, else as models of this kind were trained."""
    size = int(config.image_size)
    half = kind.startswith("siglip")
    mean, std = (HALF, HALF) if half else (CLIP_MEAN, CLIP_STD)
    file = folder / "preprocessor_config.json"
    if file.is_file():
        given = json.loads(file.read_text(encoding="utf-8"))
        mean, std = tuple(given.get("image_mean", mean)), tuple(given.get("image_std", std))
        target = given.get("crop_size") or given.get("size") or size
        size = (
            int(target.get("height") or target.get("shortest_edge") or size)
            if isinstance(target, dict)
            else int(target)
        )
    return Preparation(size, mean, std)


def clip_from_weights(weights: dict[str, Tensor], style: bool) -> HuggingFaceEncoder:
    """An OpenAI CLIP vision model from weights in transformers' naming; sizes come from the shapes, 64 channels a head."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    patch = weights["vision_model.embeddings.patch_embedding.weight"].shape
    positions = weights["vision_model.embeddings.position_embedding.weight"].shape[0]
    config = CLIPVisionConfig(
        hidden_size=patch[0],
        intermediate_size=weights["vision_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
        num_hidden_layers=_layers(weights),
        num_attention_heads=patch[0] // HEAD_WIDTH,
        image_size=round((positions - 1) ** 0.5) * patch[-1],
        patch_size=patch[-1],
        projection_dim=weights["visual_projection.weight"].shape[0],
        hidden_act="quick_gelu",
    )
    network = CLIPVisionModelWithProjection(config)
    _load(network, weights)
    return HuggingFaceEncoder(network, Preparation(config.image_size, CLIP_MEAN, CLIP_STD), style)


def _layers(weights: dict[str, Tensor]) -> int:
    prefix = "vision_model.encoder.layers."
    return 1 + max(int(key[len(prefix) :].split(".")[0]) for key in weights if key.startswith(prefix))


def _load(network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Loads weights; newer transformers drop the name `vision_model` from the keys."""
    own = network.state_dict()
    named = {
        key if key in own else key.removeprefix("vision_model."): tensor.float() for key, tensor in weights.items()
    }
    missing = sorted(own.keys() - named.keys())
    missing = [key for key in missing if not key.endswith("position_ids")]
    if missing:
        raise EncoderMismatchError(
            f"the image encoder lacks {missing[0]} and {len(missing) - 1} more tensors: download it again, the vision part "
            "with its pooling head"
        )
    network.load_state_dict({key: named[key] for key in own if key in named}, strict=False)
