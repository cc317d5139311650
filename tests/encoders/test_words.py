"""Words for Reference: the places of words in a text by CLIP's own tokenizer, and a text that says its tokens."""

from types import SimpleNamespace

import pytest
import torch
from pack.ipadapter_core.encoders.words import encode_words
from pack.ipadapter_core.errors import ImagePromptError
from pack.ipadapter_core.prompt.words import NO_TOKEN, TEXT, bind_words, tokens_of
from pack.tests.oracles.recorded_passes import picture, prompt_of
from pack.tests.oracles.words import CAT, IDS
from pack.tools.miniature.clip import clip_of

pytestmark = pytest.mark.engine


def places(text, words, clip=None):
    """Where the words of the bound prompt stand in the encoded text."""
    bound = encode_words(prompt_of(picture(2)), clip or clip_of(), text, words)
    ((features, values),) = bound.positive
    tokens = tokens_of(values | {"cross_attn": features})
    return tokens.places(bound.prompt.references[0].words)


def test_the_tokens_of_the_oracle_are_clips():
    """So that what the laws say of numbers holds for words."""
    ((_, values),) = encode_words(prompt_of(picture(2)), clip_of(), "a cat and a dog", "cat").positive
    assert values[TEXT][: len(IDS)] == IDS and len(values[TEXT]) == 77 and values[TEXT][7:] == (49407,) * 70


@pytest.mark.parametrize(
    ("text", "words", "found"),
    [
        ("a cat and a dog", "cat", (2,)),
        ("a cat and a dog", "a dog", (4, 5)),
        ("a cat and a dog", "cat, dog", (2, 5)),
        ("a cat and a dog", "a", (1, 4)),
        ("a (cat:1.4) and a dog", "cat", (2,)),
        ("a Cat, sleeping", "cat", (2,)),
        ("a catfish and a cat", "cat", (5,)),
        ("a snowcat", "snowcat", (2, 3)),
        ("red " * 80 + "cat", "cat", (83,)),
    ],
    ids=str,
)
def test_places(text, words, found):
    """Words of one and several tokens, weighted, in any case, not inside other words, and in a second section."""
    assert places(text, words) == found


def test_learned_embeddings_take_places():
    """As many as they have vectors; nothing is taken for a word in them."""
    clip = clip_of()
    plain = clip.tokenize

    def tokenize(text):
        sections = plain(text)["l"]
        learned = [(torch.zeros(96), 1.0)] * 2 if "cat" in text and "dog" in text else []
        return {"l": [[section[0], *learned, *section[1 : 77 - len(learned)]] for section in sections]}

    clip.tokenize = tokenize
    assert places("a cat and a dog", "dog", clip) == (7,)
    ((_, values),) = encode_words(prompt_of(picture(2)), clip, "a cat and a dog", "dog").positive
    assert values[TEXT][1:3] == (NO_TOKEN, NO_TOKEN)


@pytest.mark.parametrize("words", ["", " , "])
def test_no_words_are_no_place(words):
    """The references act everywhere, and the text says its tokens all the same."""
    bound = encode_words(bind_words(prompt_of(picture(2)), CAT), clip_of(), "a cat and a dog", words)
    ((_, values),) = bound.positive
    assert [one.words for one in bound.prompt.references] == [None] and values[TEXT][: len(IDS)] == IDS


@pytest.mark.parametrize("words", ["bird", "cat, bird"])
def test_words_that_are_not_there(words):
    """Named, beside the text."""
    with pytest.raises(ImagePromptError, match="are not in the text"):
        places("a cat and a dog", words)


def test_another_text_encoder_is_refused():
    """One that has no CLIP, and one whose features are not its tokens."""
    other = SimpleNamespace(
        tokenize=lambda text: {"t5xxl": [[(1, 1.0)]]},
        encode_from_tokens_scheduled=lambda tokens: [[torch.zeros(1, 1, 96), {}]],
    )
    longer = clip_of()
    longer.encode_from_tokens_scheduled = lambda tokens: [[torch.zeros(1, 256, 96), {}]]
    for clip in (other, longer):
        with pytest.raises(ImagePromptError, match="CLIP"):
            places("a cat and a dog", "cat", clip)
