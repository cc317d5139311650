"""DINOv2 of any size, as ComfyUI has it and as transformers does, on the same random weights; and SigLIP beside it."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pack.ipadapter_core.encoders.siglip import SigLIPVisionModel, siglip_from_weights
from pack.tools.miniature.models import randomise
from pack.tools.miniature.siglip import in_half
from safetensors.torch import load_file
from transformers import Dinov2Config, Dinov2Model, SiglipVisionConfig, SiglipVisionModel

from comfy.clip_vision import ClipVisionModel

DINO = {
    "hidden_size": 48, "num_hidden_layers": 40, "num_attention_heads": 4, "patch_size": 14, "image_size": 518,
    "use_swiglu_ffn": True, "layer_norm_eps": 1e-6,
}  # fmt: skip
SIGLIP = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 27, "num_attention_heads": 1, "image_size": 30,
          "patch_size": 14}  # fmt: skip
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def theirs_dino(**changes: Any) -> Any:
    """transformers' network; layer scale and gates make its layers unlike one another."""
    return randomise(Dinov2Model(Dinov2Config(**DINO | changes)), 5)


def comfy_dino(theirs: Any, **changes: Any) -> ClipVisionModel:
    """ComfyUI's encoder of the same weights."""
    with TemporaryDirectory() as folder:  # ComfyUI before 0.24 takes a file's name alone
        file = Path(folder) / "config.json"
        file.write_text(json.dumps(DINO | IMAGENET | {"model_type": "dinov2"} | changes), encoding="utf-8")
        made = ClipVisionModel(str(file))
    made.model.float().requires_grad_(False)
    with TemporaryDirectory() as folder:  # where transformers writes the published names
        theirs.save_pretrained(folder)
        missing, unknown = made.load_sd(load_file(Path(folder) / "model.safetensors"))
    assert not missing and not unknown
    return made


def save_dino(theirs: Any, folder: Path) -> None:
    """A folder in Hugging Face's layout."""
    theirs.save_pretrained(folder)
    said = {"crop_size": {"height": 224, "width": 224}, **IMAGENET}
    (folder / "preprocessor_config.json").write_text(json.dumps(said), encoding="utf-8")


def theirs_siglip(**changes: Any) -> Any:
    """transformers' network, whose side is no multiple of its patches, as that of SigLIP-so400m-384 is none."""
    return in_half(randomise(SiglipVisionModel(SiglipVisionConfig(**SIGLIP | changes)), 6))


def comfy_siglip(theirs: Any) -> SigLIPVisionModel:
    """ComfyUI's encoder of the same weights."""
    named = {
        key if key.startswith("vision_model.") else f"vision_model.{key}": one
        for key, one in theirs.state_dict().items()
    }
    made = siglip_from_weights({key: one.clone() for key, one in named.items()}, "siglip.safetensors")
    made.model.float()
    made.image_size = SIGLIP["image_size"]
    return made
