"""One entry for every image encoder: ComfyUI's own classes where they are right, transformers for the rest."""

from pathlib import Path

from torch import Tensor

import comfy.clip_vision
from comfy.clip_vision import ClipVisionModel

from ..checkpoint.spec import Shapes
from ..errors import EncoderMismatchError, IPAdapterError, is_out_of_memory
from ..quoting import quoted
from ..warn_once import warn_once
from .clip_file import CSD_STYLE, HEAD_WIDTH, clip_from_weights, csd_weights, openai_names
from .eva_clip import EvaEncoder, eva_from_weights, is_eva_clip
from .folder import WEIGHTS, load_folder
from .hugging_face import HuggingFaceEncoder
from .perception import PerceptionEncoder, is_perception, perception_from_weights
from .siglip import PREFIX, siglip_from_weights
from .sizes import EncoderSizes, encoder_sizes
from .weights import check_complete, encoder_header, encoder_weights

Encoder = ClipVisionModel | EvaEncoder | HuggingFaceEncoder | PerceptionEncoder
OWN = {(1280, 32), (1664, 48)}  # width and layers of ViT-H and bigG, which ComfyUI loads just as well, and streams
KNOWN_LAYERS = (24, 32, 48)  # what ComfyUI tells ViT-L, ViT-H and bigG by
OPENAI = "visual.transformer.resblocks.0.attn.in_proj_weight"
DAMAGE = (KeyError, ValueError, IndexError, TypeError, RuntimeError, ZeroDivisionError, AttributeError, OSError)


def load_image_encoder(path: Path) -> Encoder:
    """Loads an image encoder from a file, or from a folder in Hugging Face's layout.

    Raises `EncoderMismatchError` when it is not a supported encoder, or not all of one.
    """
    try:
        if path.is_dir():
            return _from_folder(path)
        if (path.parent / "config.json").is_file() and path.stem.startswith(("model", "pytorch_model")):
            return _from_folder(path.parent)
        return _from_file(path)
    except IPAdapterError:
        raise
    except DAMAGE as error:
        if is_out_of_memory(error):
            raise
        raise EncoderMismatchError(
            f"{quoted(path.name)}: is damaged or only a part of an image encoder ({type(error).__name__}: {quoted(error)}): "
            "download it again or choose another file in Load Image Encoder"
        ) from error


def _from_folder(folder: Path) -> Encoder:
    file = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    sizes = encoder_sizes(encoder_header(file).shapes) if file else None
    if file is not None and sizes is not None and (sizes.hidden, sizes.layers) in OWN:
        return _comfyui(file)
    return load_folder(folder)


def _from_file(path: Path) -> Encoder:
    shapes = encoder_header(path).shapes
    if _is_siglip(shapes):
        weights = encoder_weights(path)
        return siglip_from_weights({key: one for key, one in weights.items() if key.startswith(PREFIX)}, path.name)
    if is_perception(shapes):
        return perception_from_weights(encoder_weights(path), path.name)
    if is_eva_clip(shapes):
        return eva_from_weights(encoder_weights(path), path.name)
    if any(key.endswith(CSD_STYLE) for key in shapes):
        return clip_from_weights(csd_weights(encoder_weights(path)), path.name, style=True)
    sizes = encoder_sizes(shapes)
    if sizes is not None and sizes.layers not in KNOWN_LAYERS and sizes.pooled and sizes.hidden % HEAD_WIDTH == 0:
        return _other_clip(path, sizes)
    if sizes is not None and sizes.layers not in KNOWN_LAYERS:
        raise _unknown(path, f"a vision model of {sizes.layers} layers of width {sizes.hidden}")
    return _comfyui(path)


def _comfyui(path: Path) -> ClipVisionModel:
    """One of ComfyUI's own classes, with every weight of it from the file."""
    weights = encoder_weights(path)
    named = openai_names(weights) if OPENAI in weights else weights
    loaded = comfy.clip_vision.load_clipvision_from_sd(dict(named))
    if loaded is None:
        raise _unknown(path, "no vision model")
    check_complete(loaded.model.state_dict(), named, path.name)
    return loaded


def _unknown(path: Path, found: str) -> EncoderMismatchError:
    return EncoderMismatchError(
        f"{quoted(path.name)}: found {found} without a config.json, expected CLIP with its projection, SigLIP, PE-Core, "
        "EVA02-CLIP or CSD: put the file and its config.json into a folder of their own below models/clip_vision"
    )


def _other_clip(path: Path, sizes: EncoderSizes) -> HuggingFaceEncoder:
    """CLIP of a size that ComfyUI does not know, ViT-B among them: all sizes are in the shapes, its activation is not."""
    weights: dict[str, Tensor] = encoder_weights(path)
    if "visual.proj" in weights:
        weights = openai_names(weights)
    warn_once(
        f"{quoted(path.name)}: a CLIP of {sizes.layers} layers of width {sizes.hidden} without a config.json, taken for "
        "OpenAI's, whose activation is quick GELU; put config.json beside it if it is another's"
    )
    return clip_from_weights(weights, path.name, style=False)


def _is_siglip(shapes: Shapes) -> bool:
    """A vision model without a class token, on square patches of pixels."""
    patches = shapes.get(f"{PREFIX}embeddings.patch_embedding.weight", ())
    return len(patches) == 4 and f"{PREFIX}embeddings.class_embedding" not in shapes
