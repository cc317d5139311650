"""One entry for every image encoder: ComfyUI's own classes where they are right, transformers for the rest."""

from pathlib import Path

from torch import Tensor

import comfy.clip_vision
import comfy.utils
from comfy.clip_vision import ClipVisionModel

from ..checkpoint.headers import read_shapes
from ..checkpoint.spec import Shapes
from ..errors import CheckpointError, EncoderMismatchError
from ..warn_once import warn_once
from .hugging_face import HEAD_WIDTH, HuggingFaceEncoder, clip_from_weights, load_folder
from .perception import PerceptionEncoder, is_perception, perception_from_weights
from .siglip import PREFIX, siglip_from_weights
from .sizes import EncoderSizes, encoder_sizes

Encoder = ClipVisionModel | HuggingFaceEncoder | PerceptionEncoder
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
OWN = {(1280, 32), (1664, 48)}  # width and layers of ViT-H and bigG, which ComfyUI loads just as well, and streams
KNOWN_LAYERS = (24, 32, 48)  # what ComfyUI tells ViT-L, ViT-H and bigG by
CSD_STYLE = "last_layer_style"


def load_image_encoder(path: Path) -> Encoder:
    """Loads an image encoder from a file, or from a folder in Hugging Face's layout.

    Raises `EncoderMismatchError` when it is none that anybody here knows.
    """
    if path.is_dir():
        return _from_folder(path)
    if (path.parent / "config.json").is_file() and path.stem.startswith(("model", "pytorch_model")):
        return _from_folder(path.parent)
    return _from_file(path)


def _from_folder(folder: Path) -> Encoder:
    file = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    sizes = encoder_sizes(read_shapes(file)) if file else None
    if file is not None and sizes is not None and (sizes.hidden, sizes.layers) in OWN:
        return comfy.clip_vision.load(str(file))
    return load_folder(folder)


def _from_file(path: Path) -> Encoder:
    try:
        shapes = read_shapes(path)
    except CheckpointError as error:
        raise EncoderMismatchError(str(error)) from error
    if _is_siglip(shapes):
        return siglip_from_weights(
            {key: one for key, one in _weights(path).items() if key.startswith(PREFIX)}, path.name
        )
    if is_perception(shapes):
        return perception_from_weights(_weights(path), path.name)
    if any(key.endswith(CSD_STYLE) for key in shapes):
        return clip_from_weights(csd_weights(_weights(path)), style=True)
    sizes = encoder_sizes(shapes)
    if sizes is not None and sizes.layers not in KNOWN_LAYERS and sizes.pooled and sizes.hidden % HEAD_WIDTH == 0:
        return _other_clip(path, sizes)
    known = sizes is None or sizes.layers in KNOWN_LAYERS
    loaded = comfy.clip_vision.load(str(path)) if known else None
    if loaded is None:
        found = (
            "no vision model" if sizes is None else f"a vision model of {sizes.layers} layers of width {sizes.hidden}"
        )
        raise EncoderMismatchError(
            f"{path.name}: found {found} without a config.json, expected CLIP with its projection, SigLIP, PE-Core or CSD: "
            "put the file and its config.json into a folder of their own below models/clip_vision"
        )
    return loaded


def _other_clip(path: Path, sizes: EncoderSizes) -> HuggingFaceEncoder:
    """CLIP of a size that ComfyUI does not know, ViT-B among them: all sizes are in the shapes, its activation is not."""
    weights = _weights(path)
    if "visual.proj" in weights:
        weights = comfy.clip_vision.convert_to_transformers(weights, "visual.")
    warn_once(
        f"{path.name}: a CLIP of {sizes.layers} layers of width {sizes.hidden} without a config.json, taken for OpenAI's, "
        "whose activation is quick GELU; put config.json beside it if it is another's"
    )
    return clip_from_weights(weights, style=False)


def _is_siglip(shapes: Shapes) -> bool:
    """A vision model without a class token, on square patches of pixels."""
    patches = shapes.get(f"{PREFIX}embeddings.patch_embedding.weight", ())
    return len(patches) == 4 and f"{PREFIX}embeddings.class_embedding" not in shapes


def _weights(path: Path) -> dict[str, Tensor]:
    weights = comfy.utils.load_torch_file(str(path), safe_load=True)
    return weights.get("model_state_dict", weights)


def csd_weights(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """CSD, an OpenAI CLIP ViT-L whose projection is the style's, in transformers' naming.

    Source: learn2phoenix/CSD, CSD/model.py: style = normalize(backbone(x) @ last_layer_style).
    """
    plain = {key.removeprefix("module."): tensor for key, tensor in weights.items()}
    visual = {f"visual.{key[9:]}": tensor for key, tensor in plain.items() if key.startswith("backbone.")}
    visual["visual.proj"] = plain[CSD_STYLE]
    return comfy.clip_vision.convert_to_transformers(visual, "visual.")
