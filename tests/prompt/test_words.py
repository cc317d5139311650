"""References with words as files, and what a file must not say of them."""

import json
import pickle

import pytest
import torch
from pack.ipadapter_core.errors import ImagePromptError
from pack.ipadapter_core.prompt.combine import Combination, combine
from pack.ipadapter_core.prompt.files import load_prompt, packed, save_prompt
from pack.ipadapter_core.prompt.words import bind_words
from pack.tests.oracles.naive_layer import picture, prompt
from pack.tests.oracles.words import CAT, DOG
from safetensors.torch import save_file

pytestmark = pytest.mark.catalogue


def test_words_come_back(tmp_path):
    """Of each reference its own, and none where there were none."""
    parts = [bind_words(prompt(picture(2)), CAT), prompt(picture(3)), bind_words(prompt(picture(2)), DOG)]
    save_prompt(combine(parts), tmp_path / "one.safetensors")
    assert [one.words for one in load_prompt(tmp_path / "one.safetensors").references] == [CAT, None, DOG]


def test_words_come_back_from_pngs(tmp_path):
    """The same file inside an image."""
    save_prompt(
        bind_words(prompt(picture(2)), CAT), tmp_path / "one.png", shown=torch.zeros(8, 8, 3, dtype=torch.uint8)
    )
    assert load_prompt(tmp_path / "one.png").references[0].words == CAT


def test_words_travel_between_processes():
    """Pickled, references of the same words are still attended to together."""
    given = combine([bind_words(prompt(picture(2)), CAT), bind_words(prompt(picture(3)), CAT)])
    first, second = pickle.loads(pickle.dumps(given)).references
    assert first.words == second.words == CAT and hash(first.words) == hash(CAT)


def test_words_of_their_own_are_not_mixed():
    """A mixture of references is one reference, which has one place."""
    with pytest.raises(ImagePromptError, match="words of their own"):
        combine([bind_words(prompt(picture(2)), CAT), prompt(picture(3))], Combination.AVERAGE)


@pytest.mark.parametrize(
    "words",
    ["cat", 7, [], ["cat"], ["cat", []], ["cat", [[]]], ["cat", [["a"]]], ["cat", [[1.5]]], ["cat", [7]], [7, [[1]]],
     ["cat", [[1] * 20_000]], ["cat", {"a": 1}], {"text": "cat"}],
    ids=str,
)  # fmt: skip
def test_what_is_no_word_is_refused(words, tmp_path):
    """In one sentence."""
    tensors, metadata = packed(prompt(picture(2)))
    references = json.loads(metadata["references"])
    references[0]["words"] = words
    save_file(tensors, tmp_path / "one.safetensors", metadata | {"references": json.dumps(references)})
    with pytest.raises(ImagePromptError, match="words"):
        load_prompt(tmp_path / "one.safetensors")
