"""An image encoder from a folder in Hugging Face's layout: its own config.json and weights, and nothing from anywhere else.

Of config.json only the sizes in `SIZES` are read, and the network is made from them here. So nothing in a folder can name
code, kernels or models that `transformers` would fetch from a hub.
"""

import json
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from ..errors import EncoderMismatchError, is_out_of_memory
from ..limits import ENCODER_DEPTH, HEADER_BYTES, WIDTH
from ..quoting import listed, quoted
from .hugging_face import CLIP_MEAN, CLIP_STD, HALF, HuggingFaceEncoder, Preparation
from .weights import check_complete, encoder_weights

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
SIZES = {  # what is read of config.json: whole numbers to a limit
    "hidden_size": WIDTH, "intermediate_size": WIDTH, "num_hidden_layers": ENCODER_DEPTH, "num_attention_heads": WIDTH,
    "num_channels": 4, "image_size": WIDTH, "patch_size": WIDTH, "projection_dim": WIDTH, "mlp_ratio": 64,
}  # fmt: skip
SWITCHES = ("qkv_bias", "use_swiglu_ffn", "vision_use_head")
ACTIVATIONS = ("gelu", "quick_gelu", "gelu_pytorch_tanh", "gelu_new", "relu", "silu")


def _classes() -> dict[str, tuple[Any, Any]]:
    """The configuration and the network of each kind that is known."""
    from transformers import (
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
        Dinov2Config,
        Dinov2Model,
        SiglipVisionConfig,
        SiglipVisionModel,
    )

    clip, siglip = (CLIPVisionConfig, CLIPVisionModelWithProjection), (SiglipVisionConfig, SiglipVisionModel)
    return {
        "clip": clip,
        "clip_vision_model": clip,
        "siglip": siglip,
        "siglip_vision_model": siglip,
        "dinov2": (Dinov2Config, Dinov2Model),
    }


def load_folder(folder: Path) -> HuggingFaceEncoder:
    """An encoder from config.json and the weights beside it, with or without a preprocessor.

    Raises `EncoderMismatchError` for kinds that we do not know and for folders that cannot be read.
    """
    given = read_json(folder / "config.json")
    kind, known = given.get("model_type"), _classes()
    if not isinstance(kind, str) or kind not in known:
        raise EncoderMismatchError(
            f"{quoted(folder.name)}/config.json describes a {quoted(kind)}, expected one of {', '.join(known)}: choose another "
            "encoder in Load Image Encoder"
        )
    weights = _weights(folder)
    made = make_network(known[kind], _sizes(given, weights, folder.name), weights, folder.name)
    return HuggingFaceEncoder(made, _preparation(folder, kind, made.config))


def make_network(kind: tuple[Any, Any], sizes: dict[str, Any], weights: dict[str, Tensor], file: str) -> Any:
    """A transformers network of a configuration and a class, with a file's weights.

    Both are given, so transformers only renames keys, from whichever version they were written by. Raises
    `EncoderMismatchError` unless the file has every weight.
    """
    configuration, network = kind
    floats = {key: tensor.float() for key, tensor in weights.items() if tensor.is_floating_point()}
    try:
        config = configuration(**sizes, attn_implementation="sdpa")
        made, found = network.from_pretrained(
            None,
            config=config,
            state_dict=floats,
            dtype=torch.float32,
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise EncoderMismatchError(
            f"{quoted(file)}: transformers cannot load it ({quoted(error)}): download it again"
        ) from error
    check_complete([*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])], {}, file)
    return made


def read_json(path: Path) -> dict[str, Any]:
    """A dictionary from a small file; raises `EncoderMismatchError` for anything else."""
    name = f"{quoted(path.parent.name)}/{path.name}"
    try:
        if path.stat().st_size > HEADER_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EncoderMismatchError(
            f"{name} cannot be read ({type(error).__name__}): download config.json and model.safetensors into the same folder "
            "again"
        ) from error
    if not isinstance(found, dict):
        raise EncoderMismatchError(f"{name} holds a {type(found).__name__}, expected a dictionary: download it again")
    return cast(dict[str, Any], found)


def _sizes(given: dict[str, Any], weights: dict[str, Tensor], folder: str) -> dict[str, Any]:
    """The sizes in a configuration; of one for image and text those of the image."""
    vision = given.get("vision_config")
    own = cast(dict[str, Any], vision) if isinstance(vision, dict) else given
    found: dict[str, Any] = {name: own[name] for name in SIZES if name in own}
    wrong = [name for name, value in found.items() if type(value) is not int or not 0 < value <= SIZES[name]]
    if wrong:
        raise EncoderMismatchError(
            f"{quoted(folder)}/config.json: {listed(f'{name} {quoted(found[name])}' for name in wrong)}, expected whole "
            "numbers of a usual size: download it again"
        )
    found |= {name: own[name] for name in SWITCHES if isinstance(own.get(name), bool)}
    found |= {"hidden_act": own["hidden_act"]} if own.get("hidden_act") in ACTIVATIONS else {}
    if isinstance(own.get("layer_norm_eps"), float) and 0 < own["layer_norm_eps"] < 1:
        found["layer_norm_eps"] = own["layer_norm_eps"]
    projection = weights.get("visual_projection.weight")
    if projection is not None and projection.ndim == 2:
        found["projection_dim"] = projection.shape[0]
    return found


def _weights(folder: Path) -> dict[str, Tensor]:
    """All tensors of a folder; where they are divided into several files, of those that its index names."""
    file = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if file is not None:
        return encoder_weights(file)
    index = next((folder / f"{name}.index.json" for name in WEIGHTS if (folder / f"{name}.index.json").is_file()), None)
    places: Any = read_json(index).get("weight_map") if index else None
    named = cast(dict[str, Any], places) if isinstance(places, dict) else {}
    names = sorted({str(name) for name in named.values()})
    if not names or any(Path(name).name != name for name in names):
        raise EncoderMismatchError(
            f"{quoted(folder.name)}: no {' or '.join(WEIGHTS)} beside config.json: download it into the same folder"
        )
    return {key: tensor for name in names for key, tensor in encoder_weights(folder / name).items()}


def _preparation(folder: Path, kind: str, config: Any) -> Preparation:
    """From preprocessor_config.json where there is one, else as models of this kind were trained."""
    half = kind.startswith("siglip")
    usual = Preparation(int(config.image_size), *((HALF, HALF) if half else (CLIP_MEAN, CLIP_STD)))
    file = folder / "preprocessor_config.json"
    if not file.is_file():
        return usual
    given = read_json(file)
    size: Any = given.get("crop_size") or given.get("size") or usual.size
    if isinstance(size, dict):
        sides = cast(dict[str, Any], size)
        size = sides.get("height") or sides.get("shortest_edge")
    mean, std = (_colours(given.get(f"image_{name}"), getattr(usual, name)) for name in ("mean", "std"))
    usable = type(size) is int and 0 < size <= WIDTH and size % config.patch_size == 0
    return Preparation(size if usable else usual.size, mean, std if min(std) > 0 else usual.std)


def _colours(given: Any, usual: tuple[float, ...]) -> tuple[float, ...]:
    """Three numbers as given, or the usual ones."""
    found = cast(list[Any], given) if isinstance(given, list) else []
    three = len(found) == 3 and all(type(one) in (int, float) and abs(one) <= 1 for one in found)
    return tuple(float(one) for one in found) if three else usual
