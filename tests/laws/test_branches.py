"""Branches of a workflow: what goes in stays as it was, no branch hears of another, and no order matters."""

from itertools import permutations

import pytest
import torch
from pack.ipadapter_core.patchers.hooks.wrappers import NAME, applications_of
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.recorded_passes import error, patched, picture, sample, short_adapter, short_model

import comfy.patcher_extension

pytestmark = pytest.mark.engine


def snapshot(value):
    """A value with containers copied and everything else by identity."""
    if isinstance(value, dict):
        return {key: snapshot(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [snapshot(inner) for inner in value]
    return value if isinstance(value, (str, int, float, tuple)) else id(value)


def state(model):
    return snapshot([model.model_options, model.wrappers, model.callbacks, model.object_patches, model.patches])


def applications(model):
    return applications_of(model.model_options["transformer_options"])


@pytest.fixture
def model():
    return short_model()


def test_the_model_that_goes_in_stays_as_it_was(model):
    """Options, wrappers and image."""
    adapter = short_adapter(model)
    first = patched(model, adapter)
    untouched, before = sample(model), [state(model), state(first)]
    second = patched(first, adapter, picture(3))
    sample(first)
    sample(second)
    assert [state(model), state(first)] == before
    assert torch.equal(sample(model), untouched)


@pytest.mark.parametrize("order", list(permutations(range(4))), ids=str)
def test_branches_are_the_same_in_any_order(model, order):
    """Plain, two adapters, and both on one another."""
    one, two = short_adapter(model, 1), short_adapter(model, 4)
    first = patched(model, one)
    branches = [model, first, patched(model, two, picture(5)), patched(first, two, picture(5))]
    fresh = short_model()
    singles = [
        fresh,
        patched(fresh, one),
        patched(fresh, two, picture(5)),
        patched(patched(fresh, one), two, picture(5)),
    ]
    expected = sample(singles[order[-1]])
    for index in order:
        result = sample(branches[index])
    assert torch.equal(result, expected)


def test_clones_of_clones_are_independent(model):
    """What is added to a clone's clone reaches neither."""
    adapter = short_adapter(model)
    first = patched(model, adapter)
    clone = first.clone()
    deep = patched(clone.clone(), adapter, picture(3))
    assert [len(applications(one)) for one in (model, first, clone, deep)] == [0, 1, 1, 2]
    assert torch.equal(sample(clone), sample(first))


def test_stacking_order_does_not_matter(capsys):
    """Two adapters one way and the other: in float64 the same latents, but for their own last float32 digit.

    In float32 the sums round in another order; what that makes of an image is printed.
    """
    differences = {}
    for dtype in (torch.float64, torch.float32):
        model = short_model(dtype)
        one, two = short_adapter(model, 1), short_adapter(model, 4)
        left = sample(patched(patched(model, one), two, picture(5), Strength(0.5)))
        right = sample(patched(patched(model, two, picture(5), Strength(0.5)), one))
        differences[dtype] = error(right, left)
        assert error(sample(patched(model, one)), left) > 1e-2
    with capsys.disabled():
        print(f"\n  stacking order: {differences}")
    assert differences[torch.float64] < 1e-7


def test_wrappers_stay_single(model):
    """Four applications, three wrappers."""
    adapter, stacked = short_adapter(model), model
    for seed in range(4):
        stacked = patched(stacked.clone(), adapter, picture(seed))
    assert len(applications(stacked)) == 4
    assert {kind: len(keys[NAME]) for kind, keys in stacked.wrappers.items()} == {
        "sampler_sample": 1, "calc_cond_batch": 1, "apply_model": 1,
    }  # fmt: skip


def test_a_wrapper_that_is_listed_twice_acts_once(model):
    """Options may hold a model's wrappers already when ComfyUI merges them in: then they stand there twice."""
    branch = patched(model, short_adapter(model))
    expected = sample(branch)
    wrappers = branch.model_options["transformer_options"].setdefault("wrappers", {})
    comfy.patcher_extension.merge_nested_dicts(wrappers, branch.wrappers, copy_dict1=False)
    assert torch.equal(sample(branch), expected)


def test_weight_zero_is_no_node(model):
    """To the bit, with nothing left in the options."""
    silent = patched(model, short_adapter(model), strength=Strength(0.0))
    assert torch.equal(sample(silent), sample(model))
    assert snapshot(silent.model_options) == snapshot(model.model_options)


def test_a_graph_that_copies_options_deeply(model):
    """Some packs and older ComfyUI versions deep-copy."""
    from copy import deepcopy

    branch = patched(model, short_adapter(model))
    options = branch.model_options["transformer_options"]
    copied = deepcopy({key: options[key] for key in ("patches",)})
    assert copied["patches"][NAME][0] is options["patches"][NAME][0]


def test_collecting_a_clone_disturbs_no_run(model):
    """A clone that goes in the middle of a run calls `.to` on what it shares."""
    branch = patched(model, short_adapter(model))
    expected = sample(branch, steps=3)
    shared = applications(branch)[0]
    kept = []

    def collect(given):
        before = list(map(id, shared.cache.held()))
        branch.clone().__del__()
        kept.append(before == list(map(id, shared.cache.held())))
        return given["denoised"]

    watched = branch.clone()
    watched.set_model_sampler_post_cfg_function(collect)
    assert torch.equal(sample(watched, steps=3), expected)
    assert kept == [True] * 3
