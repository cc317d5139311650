"""Words of a text prompt that references belong to, and where they stand among the text's tokens."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from .image_prompt import ImagePrompt, Words

TEXT = "ipadapter_core_text"  # the key in a conditioning under which the tokens of its text are
NO_TOKEN = -1  # in the place of a learned embedding

Conditioning = list[list[Any]]  # ComfyUI's: pairs of features and a dict


class TextTokens(NamedTuple):
    """The tokens of a text, one for each of the `length` features that stand for it; what follows them is other text."""

    ids: tuple[int, ...]
    length: int

    def places(self, words: Words) -> tuple[int, ...]:
        """Where the words stand, each as often as it is there."""
        found = {
            start + offset
            for phrase in words.phrases
            for start in range(len(self.ids) - len(phrase) + 1)
            if self.ids[start : start + len(phrase)] == phrase
            for offset in range(len(phrase))
        }
        return tuple(sorted(found))


def bind_words(prompt: ImagePrompt, words: Words | None) -> ImagePrompt:
    """The prompt with its references acting only where the text attends to words, or everywhere."""
    return prompt.with_references(tuple(replace(one, words=words) for one in prompt.references))


def with_tokens(conditioning: Conditioning, ids: Sequence[int]) -> Conditioning:
    """A conditioning that says which tokens its text has."""
    return [[features, values | {TEXT: tuple(ids)}] for features, values in conditioning]


def tokens_of(entry: Any) -> TextTokens | None:
    """The tokens of a text in ComfyUI's list for the sampler; None where it does not say."""
    ids, features = entry.get(TEXT), entry.get("cross_attn")
    if ids is None or features is None or features.shape[1] < len(ids):
        return None
    return TextTokens(tuple(ids), features.shape[1])
