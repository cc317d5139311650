"""References that are combined before the projection, each number against its formula."""

import pytest
import torch
from pack.ipadapter_core.checkpoint.spec import Feature
from pack.ipadapter_core.errors import ImagePromptError
from pack.ipadapter_core.prompt.combine import Combination, MaskBatch, combine, weigh
from pack.ipadapter_core.prompt.image_prompt import EncodedImage, Reference
from pack.tests.oracles.naive_layer import far, picture, prompt

pytestmark = pytest.mark.engine

EXACT = 1e-12


def hidden(seed, weight=1.0):
    """A reference of hidden states: 3 tokens of width 5."""
    generator = torch.Generator().manual_seed(seed)
    features, negative = (torch.randn(1, 3, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    return Reference(EncodedImage(features, negative), weight)


def length(vector):
    return sum(float(number) ** 2 for number in vector) ** 0.5


def by_vector(references, method):
    """One token at a time, with Python's own arithmetic on each number."""
    weights = [reference.weight for reference in references]
    result = torch.zeros(1, 3, 5, dtype=torch.float64)
    for token in range(3):
        vectors = [reference.image.features[0, token].tolist() for reference in references]
        for place in range(5):
            column = [weight * vector[place] for weight, vector in zip(weights, vectors, strict=True)]
            result[0, token, place] = {
                "add": lambda column=column: sum(column),
                "subtract": lambda column=column: column[0] - sum(column[1:]) / (len(column) - 1),
                "average": lambda column=column: sum(column) / sum(weights),
                "norm average": lambda column=column, place=place, vectors=vectors: sum(
                    weight * vector[place] / length(vector) for weight, vector in zip(weights, vectors, strict=True)
                ),
                "max": lambda column=column: max(column),
                "min": lambda column=column: min(column),
            }[method]()
        if method == "norm average":
            mean = sum(w * length(vector) for w, vector in zip(weights, vectors, strict=True)) / sum(weights)
            result[0, token] *= mean / length(result[0, token])
    return result


@pytest.mark.parametrize("method", [method for method in Combination if method is not Combination.CONCAT])
def test_engine_combined_before_projection(method):
    """Each formula, over weights of the inputs and of the references; the negative is the first one's."""
    prompts = [prompt(hidden(2, 0.5), hidden(3), feature=Feature.HIDDEN), prompt(hidden(4), feature=Feature.HIDDEN)]
    mixed = combine(prompts, method, [2.0, 0.7])
    assert len(mixed.references) == 1 and mixed.references[0].weight == 1.0 and mixed.feature is Feature.HIDDEN
    expected = by_vector((hidden(2, 1.0), hidden(3, 2.0), hidden(4, 0.7)), method.value)
    assert far(mixed.references[0].image.features, expected) < EXACT
    assert torch.equal(mixed.references[0].image.negative, hidden(2).image.negative)


@pytest.mark.parametrize("method", [Combination.AVERAGE, Combination.NORM_AVERAGE, Combination.MAX, Combination.MIN])
def test_engine_combining_equal_pictures_changes_nothing(method):
    """Three times the same is the same."""
    mixed = combine([prompt(hidden(2), feature=Feature.HIDDEN)] * 3, method)
    assert far(mixed.references[0].image.features, hidden(2).image.features) < EXACT


def test_engine_combining_what_does_not_fit_is_refused():
    pooled, states = prompt(picture(2)), prompt(hidden(2), feature=Feature.HIDDEN)
    for prompts, words in (
        ([pooled, states], "image prompt 1 is penultimate_hidden_states"),
        ([pooled, pooled, prompt(picture(2), encoder="another")], "image prompt 2 is .* of another"),
    ):
        with pytest.raises(ImagePromptError, match=words):
            combine(prompts)
    with pytest.raises(ImagePromptError, match="sum of the weights"):
        combine([pooled, pooled], Combination.AVERAGE, [1.0, -1.0])
    with pytest.raises(ImagePromptError, match="3 weights for 2"):
        combine([pooled, pooled], Combination.CONCAT, [1.0, 1.0, 1.0])
    with pytest.raises(ImagePromptError, match="mask or words of their own"):
        combine([pooled, weigh(pooled, 1.0, torch.ones(1, 4, 4))], Combination.ADD)
    with pytest.raises(ImagePromptError, match="3 masks for 1 references"):
        weigh(pooled, 1.0, torch.ones(3, 4, 4), MaskBatch.PER_REFERENCE)
