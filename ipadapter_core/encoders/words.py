"""The words of a text prompt as CLIP's tokens, and the text encoded with them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from comfy.sd import CLIP

from ..errors import ImagePromptError
from ..prompt.image_prompt import ImagePrompt, Words
from ..prompt.words import NO_TOKEN, Conditioning, TextTokens, bind_words, with_tokens
from ..quoting import quoted

PARTS = ("l", "g", "h")  # CLIP's names in ComfyUI: ViT-L, bigG, H; SDXL's two have the same tokens in the same places


class Bound(NamedTuple):
    """An image prompt whose references belong to words, and the encoded text that has them."""

    prompt: ImagePrompt
    positive: Conditioning


def encode_words(prompt: ImagePrompt, clip: CLIP, text: str, words: str) -> Bound:
    """References that act where the text attends to `words`, several of them separated by commas; everywhere with none.

    Raises `ImagePromptError` where the text encoder is not CLIP's, or the words are not in the text.
    """
    tokens = clip.tokenize(text)
    ids = _ids(tokens)
    positive = clip.encode_from_tokens_scheduled(tokens)
    if not ids or any(features.shape[1] != len(ids) for features, _ in positive):
        raise ImagePromptError(
            "the text encoder does not say which token each of its features stands for, expected CLIP's: connect the CLIP of "
            "an SD1.5 or SDXL checkpoint to Words for Reference"
        )
    found = [_words(clip, one.strip(), text, ids) for one in words.split(",") if one.strip()]
    bound = Words(words.strip(), tuple(phrase for one in found for phrase in one.phrases))
    return Bound(bind_words(prompt, bound if found else None), with_tokens(positive, ids))


def _words(clip: CLIP, named: str, text: str, ids: tuple[int, ...]) -> Words:
    words = Words(named, (_phrase(clip, named),))
    if not TextTokens(ids, len(ids)).places(words):
        raise ImagePromptError(
            f"the words '{quoted(named)}' are not in the text '{quoted(text)}': write in words of Words for Reference what the "
            "text has, each word as it stands there"
        )
    return words


def _phrase(clip: CLIP, words: str) -> tuple[int, ...]:
    """The tokens of words alone: what stands between the first token and the one that ends every text."""
    empty, ids = _ids(clip.tokenize("")), _ids(clip.tokenize(words))
    return ids[1 : ids.index(empty[1])] if len(empty) > 1 else ()


def _ids(tokens: dict[str, Any]) -> tuple[int, ...]:
    """The token of each place, section after section; nothing where there is no CLIP."""
    sections: Sequence[Any] = next((tokens[part] for part in PARTS if part in tokens), ())
    return tuple(one[0] if isinstance(one[0], int) else NO_TOKEN for section in sections for one in section)
