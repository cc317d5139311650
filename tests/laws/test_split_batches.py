"""A model call of which another pack shows the network some rows at a time: the image is the unsplit one, to the bit.

The stand-ins do what engines for several GPUs do: a wrapper around the network cuts latent, noise level, text and whatever
else has a row for each image, and knows nothing of `transformer_options`.
"""

import pytest
import torch
from pack.ipadapter_core.errors import SamplingError
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.families import call_of, other_prompt, world
from pack.tests.oracles.recorded_passes import noise as unet_noise
from pack.tests.oracles.recorded_passes import patched, picture, prompt_of, sample, short_adapter, short_model, text
from pack.tests.oracles.row_arithmetic import RowByRow
from pack.tests.oracles.split_batches import RowSplit
from pack.tests.oracles.transformer_world import CASES
from pack.tools.miniature.transformers import predict, some_call

import comfy.ldm.modules.attention
import comfy.ldm.wan.model

pytestmark = [pytest.mark.splits, pytest.mark.engine]

FRAMES = (0.3, 1.0, 0.7)


@pytest.fixture(autouse=True)
def row_by_row(monkeypatch):
    """The base model's own bits must not depend on the size of the batch; its attention is a GPU's."""
    attention = comfy.ldm.modules.attention
    for module in (attention, comfy.ldm.wan.model):
        monkeypatch.setattr(module, "optimized_attention", attention.attention_pytorch)
    with RowByRow():
        yield


def rows_of(batch):
    """Every way of cutting a batch that is tried: by passes, by images, unevenly, in another order, each row alone."""
    third = (batch + 2) // 3
    return {
        "two halves": [list(range(batch // 2)), list(range(batch // 2, batch))],
        "three parts": [list(range(start, min(start + third, batch))) for start in range(0, batch, third)],
        "rows alone": [[row] for row in range(batch)],
        "every other": [list(range(0, batch, 2)), list(range(1, batch, 2))],
        "backwards": [[row] for row in reversed(range(batch))],
    }


WAYS = tuple(rows_of(6))
HOW = {"views": False, "copies": True}


def unet(images, **more):
    """SD1.5 with an application of everything that a row can have of its own, and what its steps make of noise."""
    base = short_model()
    adapter = short_adapter(base)
    masks = torch.rand(images, 9, 7, generator=torch.Generator().manual_seed(1))
    strength = Strength(0.8, frames=FRAMES[:images])
    prompt = prompt_of(*(picture(seed) for seed in range(2, 2 + images)))
    return base, apply_image_prompt(base, adapter, prompt, strength, mask=masks, per_frame=True, **more)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("images", [1, 3])
def test_a_unets_batch_in_parts(images, way, how):
    """References, masks and weights for each image."""
    _, model = unet(images)
    expected = sample(model, latent=unet_noise(images), steps=2)
    split = RowSplit(rows_of(2 * images)[way], HOW[how])
    assert torch.equal(sample(split.around(model), latent=unet_noise(images), steps=2), expected)
    assert split.calls


@pytest.mark.parametrize(
    "case", ["UNet PuLID v1", "UNet PuLID v1.1", *(case for case in CASES if not case.startswith("SD3"))]
)
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("images", [1, 3])
def test_each_familys_batch_in_parts(case, images, way, how):
    """The same for every family that ComfyUI lets wrappers stand around; SD3.5's network it does not."""
    _, base, adapter, prompt = world(case)
    call = call_of(case, images=images)
    masks = torch.rand(images, 8, 6, generator=torch.Generator().manual_seed(1))
    both = prompt.with_references(prompt.references + other_prompt(case).references)
    model = apply_image_prompt(
        base, adapter, both, Strength(0.8, frames=FRAMES[:images]), mask=masks, per_frame=images > 1
    )
    expected = predict(model, call)
    split = RowSplit(rows_of(2 * images)[way], HOW[how])
    assert torch.equal(predict(split.around(model), call), expected)
    assert split.calls and not torch.equal(expected, predict(base, call))


@pytest.mark.parametrize("order", ["before", "after"])
def test_whichever_node_comes_first(order):
    """The splitter before Apply IP-Adapter and behind it, and one around another."""
    base = short_model()
    adapter, split = short_adapter(base), RowSplit([[0], [1]])
    expected = sample(patched(base, adapter))
    model = patched(split.around(base), adapter) if order == "before" else split.around(patched(base, adapter))
    assert torch.equal(sample(model), expected)
    assert torch.equal(sample(RowSplit([[0, 1]]).around(model)), expected)


@pytest.mark.parametrize("case", ["UNet base", "FLUX XLabs", "Anima LuciferTC"])
@pytest.mark.parametrize("how", HOW)
def test_one_side_only(case, how):
    """Only the positive rows reach the network, or only the negative ones: each is what it is in the whole batch of three
    images with their own references, masks and weights."""
    base, adapter, prompt = world(case)[1:]
    call = call_of(case, images=3)
    masks = torch.rand(3, 8, 6, generator=torch.Generator().manual_seed(1))
    both = prompt.with_references(prompt.references + other_prompt(case).references)
    model = apply_image_prompt(base, adapter, both, Strength(0.8, frames=FRAMES), mask=masks, per_frame=True)
    whole = predict(model, call)
    assert not torch.equal(whole, predict(base, call))
    for rows in ([0, 1, 2], [3, 4, 5], [4]):
        assert torch.equal(predict(RowSplit([rows], HOW[how]).around(model), call), whole[rows])


def test_rows_that_are_repeated():
    """A pack that shows a row twice: each of them is what it is in the whole batch."""
    name, base, adapter, prompt = world("FLUX XLabs")
    call, model = some_call(name, 2), apply_image_prompt(base, adapter, prompt, Strength())
    whole = predict(model, call)
    assert torch.equal(predict(RowSplit([[0, 1, 1]], copy=True).around(model), call), whole[[0, 1, 1]])


@pytest.mark.parametrize("case", ["FLUX XLabs", "FLUX InstantX", "Anima LuciferTC"])
def test_rows_that_nothing_tells_apart_are_refused(case):
    """Copies of a batch whose positive and negative text are the same: one sentence, and no image."""
    name, base, adapter, prompt = world(case)
    call = some_call(name, 2)
    twice = {key: one[:1].expand_as(one).contiguous() for key, one in call.arguments.items()}
    call = call._replace(latent=call.latent[:1].expand_as(call.latent).contiguous(), arguments=twice)
    model = apply_image_prompt(base, adapter, prompt, Strength())
    assert torch.equal(predict(RowSplit([[0], [1]]).around(model), call), predict(model, call))
    with pytest.raises(SamplingError, match="1 of 2 images of a batch"):
        predict(RowSplit([[0], [1]], copy=True).around(model), call)


def test_values_that_a_splitter_changes_are_refused():
    """Neither the latent nor the text is one of the batch's."""
    model = patched(short_model(), short_adapter(short_model()))
    with pytest.raises(SamplingError, match="1 of 2 images of a batch"):
        sample(RowSplit([[0], [1]], copy=True, change=lambda one: one * 1.5).around(model))


def test_an_application_that_rests_asks_nothing():
    """Outside of its window a batch may be cut up in whatever way."""
    base = short_model()
    model = patched(base, short_adapter(base), strength=Strength(1.0, 0.99, 1.0))
    split = RowSplit([[0], [1]], copy=True, change=lambda one: one * 1.5)
    result = sample(split.around(model), steps=1, conds=(text(0), text(1)))
    assert torch.equal(result, sample(split.around(base), steps=1))
