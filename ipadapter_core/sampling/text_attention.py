"""Where the text attends to words: a mask that each layer makes of its own attention, in the same pass.

    mask(x) = p(x) / max over x of p,   p(x) = mean over heads of sum_{j in words} softmax(q(x) K_text^T / sqrt(d))_j

in passes that see the reference; in the others it is 1. A mean over the words in place of the sum is the same, for the
maximum divides it out again.
Source: Conceptrol, arXiv 2503.06568; QY-H00/Conceptrol (5a63981), with each layer's own map.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..adapter.key_value_bank import POSITIVE
from ..attention.heads import split_heads
from ..errors import SamplingError
from ..prompt.image_prompt import Words
from ..prompt.words import TextTokens, tokens_of
from ..quoting import quoted
from .application import Application
from .batch_layout import BatchLayout

Conds = Sequence[Sequence[Mapping[str, Any]] | None]


def texts_of(
    applications: Sequence[Application], polarities: Sequence[int], conds: Conds
) -> dict[Any, TextTokens] | None:
    """The tokens of each text that sees the references, by its entry's uuid; None where no reference has words.

    Raises `SamplingError` where a text does not say its tokens, or there are some and none has the words.
    """
    wanted = {words for application in applications for words in application.words if words is not None}
    if not wanted:
        return None
    texts: dict[Any, TextTokens] = {}
    for side, entries in zip(polarities, conds, strict=True):
        for entry in (entries or ()) if side == POSITIVE else ():
            tokens = tokens_of(entry)
            if tokens is None:
                raise SamplingError(
                    "a reference belongs to words, but a prompt that sees it does not say where its words are: connect the "
                    "positive output of Words for Reference to the sampler, choose 'text, then image' in Image Prompt "
                    "Guider, or take Words for Reference out"
                )
            texts[entry.get("uuid")] = tokens
    for words in wanted:
        if texts and not any(tokens.places(words) for tokens in texts.values()):
            raise SamplingError(
                f"a reference belongs to the words '{quoted(words.text)}', which are in none of the prompts that see it: "
                "give the sampler the positive output of Words for Reference"
            )
    return texts


def word_mask(application: Application, layout: BatchLayout, query: Tensor, text: Tensor, heads: int) -> Tensor:
    """The mask of each row of a batch, (B, L, 1), for an application with words.

    query (B, L, D); the text's keys (B, T, D), in which ComfyUI may repeat a text that is shorter than others.
    """
    words = [application.words[place] for place in layout.places(len(application.words))]
    mask = query.new_ones(*query.shape[:2], 1)
    for row, (own, side) in enumerate(zip(words, layout.sides, strict=True)):
        if own is None or side != POSITIVE:
            continue
        tokens = layout.texts[row // layout.images]
        columns = _columns(tokens, own, text.shape[1]) if tokens else ()
        if columns:
            index = application.cache.index(query.device, columns)
            mask[row, :, 0] = _attention_to(query[row], text[row], index, heads)
        else:
            mask[row] = 0
    return mask


def _columns(tokens: TextTokens, words: Words, count: int) -> tuple[int, ...]:
    """The places of words among `count` keys of a text, which may be repeated."""
    places = tokens.places(words)
    return tuple(start + place for start in range(0, count, tokens.length) for place in places if start + place < count)


def _attention_to(query: Tensor, keys: Tensor, columns: Tensor, heads: int) -> Tensor:
    """(L, D) and (T, D) -> (L), the largest 1."""
    dtype = torch.promote_types(query.dtype, torch.float32)
    rows, keys = (split_heads(one.unsqueeze(0).to(dtype), heads)[0] for one in (query, keys))
    shares = (rows @ keys.mT * rows.shape[-1] ** -0.5).softmax(dim=-1)
    found = shares[..., columns].sum(dim=-1).mean(dim=0)
    return (found / found.max().clamp(min=torch.finfo(dtype).tiny)).to(query.dtype)
