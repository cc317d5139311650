"""The public names of the pack, for other node packs and for scripts; see docs/python.md.

Whatever stands in `__all__` keeps its name, its arguments and its meaning within a major version.
"""

from pathlib import Path

from torch import Tensor

from comfy.model_patcher import ModelPatcher

from .adapter import load as adapter_file
from .adapter.managed import ManagedAdapter
from .encoders import load as encoder_file
from .encoders.image_encoder import ImageEncoder
from .encoders.one_image import encode_one_by_one
from .encoders.options import EncodeOptions
from .errors import (
    CheckpointError,
    ComparisonError,
    EncoderMismatchError,
    FaceAnalysisError,
    ImagePromptError,
    InputError,
    IPAdapterError,
    ModelMismatchError,
    PresetError,
    RecordingError,
    SamplingError,
    TrainingError,
    WeightError,
)
from .images.fit import ResizeMode
from .inputs.images import read_images
from .inputs.masks import read_masks
from .inputs.numbers import read_number
from .patchers.apply import apply_image_prompt
from .prompt import files as prompt_file
from .prompt.combine import Combination, combine
from .prompt.image_prompt import ImagePrompt
from .sampling.strength import Strength
from .weights.layer_presets import LayerPreset
from .weights.layer_weights import LayerWeights
from .weights.schedule import WeightSchedule

__all__ = [
    "CheckpointError", "Combination", "ComparisonError", "EncodeOptions", "EncoderMismatchError", "FaceAnalysisError",
    "IPAdapterError", "ImageEncoder", "ImagePrompt", "ImagePromptError", "InputError", "LayerPreset", "LayerWeights",
    "ManagedAdapter", "ModelMismatchError", "PresetError", "RecordingError", "ResizeMode", "SamplingError", "Strength",
    "TrainingError", "WeightError", "WeightSchedule", "apply", "combine", "encode_images", "load_adapter", "load_image_encoder",
    "load_prompt", "save_prompt",
]  # fmt: skip


def load_adapter(path: str | Path, resampler: str | Path | None = None) -> ManagedAdapter:
    """An adapter file, recognised by its tensors and loaded: what the IP_ADAPTER socket carries.

    `resampler` is the second file of an adapter that is published as two (Lynx).
    Raises `CheckpointError` where a file cannot be read, is no adapter that the pack knows, or the two do not belong together.
    """
    return adapter_file.load_adapter(str(path), None if resampler is None else str(resampler))


def load_image_encoder(path: str | Path) -> ImageEncoder:
    """An image encoder from a file or from a folder in Hugging Face's layout: what the CLIP_VISION socket carries.

    Raises `EncoderMismatchError` where it is not a supported encoder, or not all of one.
    """
    return encoder_file.load_image_encoder(Path(path))


def save_prompt(prompt: ImagePrompt, path: str | Path, note: str = "") -> None:
    """Writes a prompt with everything it is as a safetensors file; `note` goes into its metadata.

    Raises `ImagePromptError` where the file cannot be written.
    """
    prompt_file.save_prompt(prompt, Path(path), note)


def load_prompt(path: str | Path) -> ImagePrompt:
    """Reads what `save_prompt` wrote. Raises `ImagePromptError` where the file is damaged or something else."""
    return prompt_file.load_prompt(Path(path))


def encode_images(
    adapter: ManagedAdapter,
    encoder: ImageEncoder,
    images: Tensor,
    options: EncodeOptions | None = None,
    negative: Tensor | None = None,
    second_encoder: ImageEncoder | None = None,
) -> ImagePrompt:
    """An image prompt of images (B, H, W, 1, 3 or 4), 0 to 1, each one reference, for an adapter.

    `encoder` is from `load_image_encoder` or ComfyUI's *Load CLIP Vision*; `negative` (1 or B, H, W, C) takes the place of
    the unconditional image that the adapter was trained with; `second_encoder` is for adapters that look through two.
    Raises `InputError` where images cannot be read, `EncoderMismatchError` where encoder and adapter do not fit.
    Source: tencent-ailab/IP-Adapter (62e4af9), ip_adapter/ip_adapter.py, get_image_embeds.
    """
    against = None if negative is None else read_images(negative, "negative of encode_images")
    given = read_images(images, "images of encode_images")
    return encode_one_by_one(adapter.spec, (encoder, second_encoder), given, options or EncodeOptions(), against)[0]


def apply(
    model: ModelPatcher,
    adapter: ManagedAdapter,
    prompt: ImagePrompt,
    weight: float | Strength = 1.0,
    mask: Tensor | None = None,
    per_frame: bool = False,
    layer_weights: LayerWeights | None = None,
) -> ModelPatcher:
    """A clone of a ComfyUI model that attends to the prompt's references; the model that went in stays as it was.

    `weight` is a number, or a `Strength` with a window in percent of the run (0 to 1), a schedule, or a weight for each
    image of the batch. `mask` (H, W) or (M, H, W), 0 to 1, confines the effect; with `per_frame` the references go to the
    images of the batch in turn.
    Raises `ModelMismatchError`, `ImagePromptError`, `WeightError` or `InputError` where they do not belong together.
    Source: Ye et al. 2023, "IP-Adapter", equation 5.
    """
    strength = weight if isinstance(weight, Strength) else Strength(read_number(weight, "weight of apply"))
    over = None if mask is None else read_masks(mask, "mask of apply")
    return apply_image_prompt(model, adapter, prompt, strength, over, per_frame, layer_weights)
