"""The image prompt: references as the image encoder saw them, each with its weight and its place in the image."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from torch import Tensor

from ..checkpoint.enums import Feature
from ..errors import ImagePromptError
from ..limits import REFERENCES
from ..masks.canvas_mask import CanvasMask
from .features import Features


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """One encoded image and its negative, (1, E) or (1, L, E) each, or the same parts of each.

    `seen` are the pixels that the encoder saw, (H, W, 3) of 8 bits, where it was one image; for the trace of a run.
    """

    features: Features
    negative: Features
    seen: Tensor | None = field(default=None, repr=False)


class Words(NamedTuple):
    """Words of a text prompt as they are written, and each phrase of them as CLIP's tokens."""

    text: str
    phrases: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class Reference:
    """An encoded image with a weight of its own and, where it should act in a part of the result only, a mask, or words of
    the text: it then acts where the text attends to them.

    References that share the very same mask and the same words are attended to together.
    """

    image: EncodedImage
    weight: float = 1.0
    mask: CanvasMask | None = None
    words: Words | None = None


@dataclass(frozen=True, eq=False)
class ImagePrompt:
    """References that go into one application, and what made them: the encoder's output and its name.

    `adapter` says in words for which kind of adapter, `made_from` from which images; both are there to be read by people.
    """

    references: tuple[Reference, ...]
    feature: Feature
    encoder: str
    adapter: str = ""
    made_from: str = ""

    def __post_init__(self) -> None:
        """Raises `ImagePromptError` where there are more references than one application can hold."""
        if len(self.references) > REFERENCES:
            raise ImagePromptError(
                f"an image prompt of {len(self.references)} references, at most {REFERENCES} go together: take fewer images, "
                "or apply them in several Apply IP-Adapter nodes"
            )

    def with_references(self, references: tuple[Reference, ...]) -> "ImagePrompt":
        """The same kind of prompt over other references."""
        return replace(self, references=references)
