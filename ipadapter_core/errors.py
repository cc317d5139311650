"""What a user can get wrong; a message says what was found, what was expected, and what to change.

Out of memory is nothing of the kind: ComfyUI frees memory, tries again or says so, and has to hear of it.
"""

from typing import Any

import torch

from .quoting import shortened

OUT_OF_MEMORY = (MemoryError, torch.cuda.OutOfMemoryError)


class IPAdapterError(Exception):
    """Anything that a user of the nodes can put right; its message is never longer than the limit."""

    def __init__(self, message: str = "", *more: Any) -> None:
        super().__init__(shortened(message), *more)


class InputError(IPAdapterError):
    """What comes through a socket is not what the socket is for: an image, a mask, a number or a text."""


class CheckpointError(IPAdapterError):
    """The file is not an IP-Adapter that we know, or it is damaged."""


class EncoderMismatchError(IPAdapterError):
    """The image encoder does not make the features that the adapter was trained on."""


class ModelMismatchError(IPAdapterError):
    """The adapter was made for another diffusion model."""


class ImagePromptError(IPAdapterError):
    """The image prompt cannot be used in the way that was asked for."""


class WeightError(IPAdapterError):
    """A weight, a schedule or a layer name cannot be read."""


class FaceAnalysisError(IPAdapterError):
    """Face models cannot be loaded, or an image shows no face where one is needed."""


class PresetError(IPAdapterError):
    """A file that a preset means is not there."""


class SamplingError(IPAdapterError):
    """Something between the sampler and the model changes its calls in a way that an adapter cannot follow."""


class RecordingError(IPAdapterError):
    """What is asked about a run was not noted while it happened."""


class ComparisonError(IPAdapterError):
    """Images, references and what they are compared by do not belong together."""


class TrainingError(IPAdapterError):
    """An adapter cannot be trained with what is connected, or what it has learned cannot be kept."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, the host's or a device's, also where a driver says it in words alone."""
    return isinstance(error, OUT_OF_MEMORY) or (
        isinstance(error, RuntimeError) and "out of memory" in str(error).lower()
    )
