"""A sequence of which each GPU has a part: the image is the unsplit one, masks included, or there is one sentence."""

import sys
from functools import cache

import pytest
import torch
from pack.ipadapter_core.errors import SamplingError
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.sampling.sequence_split import SequenceSplit, token_part
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.split_sequences import XFUSER, Ranks, split
from pack.tests.oracles.transformer_world import CASES, world
from pack.tools.miniature.transformers import predict, relative, some_call, tiny_transformer

pytestmark = [pytest.mark.splits, pytest.mark.dit]

SPLIT = [case for case in CASES if not case.startswith(("SD3", "Wan"))]  # Wan's: tests/patchers/families/test_wan.py
TURNED = [
    case for case in SPLIT if not case.startswith("Anima") and "PuLID" not in case
]  # ask with a block's own queries
SIZES = {"12 tokens": (8, 6), "15 tokens": (10, 6), "14 tokens, an odd side": (14, 3)}
HALF = torch.ones(1, 8, 8).tril()
BOUND = 2e-5


@cache
def models_of(name):
    """A model for each of three ranks, over the same weights."""
    models = [tiny_transformer(name, seed=None if rank else 0) for rank in range(3)]
    weights = models[0].model.diffusion_model.state_dict()
    for one in models[1:]:
        one.model.diffusion_model.load_state_dict(weights, assign=True)
    return models


def both(case, world_size, size, mask, monkeypatch, known=True):
    """What one model predicts by itself, what it predicts without adapter, and what each rank does."""
    name, model, adapter, prompt = world(case)
    call, ranks = some_call(name, 2, size), Ranks(world_size)
    applied = [Strength(1.0), mask]
    plain, whole = predict(model, call), predict(apply_image_prompt(model, adapter, prompt, *applied), call)
    models, grid = models_of(name)[:world_size], (-(-size[0] // 2), -(-size[1] // 2))
    if known:
        monkeypatch.setitem(sys.modules, XFUSER, ranks.module())
    with split(name, [one.model.diffusion_model for one in models], ranks, grid):
        patched = [apply_image_prompt(one, adapter, prompt, *applied) for one in models]
        return plain, whole, ranks.run(lambda rank: predict(patched[rank], call))


@pytest.mark.parametrize("case", SPLIT)
@pytest.mark.parametrize("masked", [False, True], ids=["no mask", "half a mask"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("world_size", [2, 3])
def test_tokens_in_parts(case, world_size, size, masked, monkeypatch):
    """Two and three parts, of which not all are full. Seen to fail without the offset of a part, and with turned queries."""
    plain, whole, results = both(case, world_size, SIZES[size], HALF if masked else None, monkeypatch)
    assert relative(whole - plain, plain) > 1e-3
    for one in results:
        assert relative(one - whole, whole - plain) < BOUND


@pytest.mark.parametrize("case", TURNED)
def test_an_engine_that_nobody_knows(case, monkeypatch):
    """Turned queries without anybody to say so, with a mask and without."""
    for mask in (None, HALF):
        with pytest.raises(SamplingError, match="without their rotation"):
            both(case, 2, (8, 6), mask, monkeypatch, known=False)


@pytest.mark.parametrize("case", [case for case in SPLIT if case.startswith("Anima")])
def test_a_mask_over_parts_that_nobody_knows(case, monkeypatch):
    """Without a mask each token is right by itself; a mask has to know where it lies."""
    plain, whole, results = both(case, 2, (8, 6), None, monkeypatch, known=False)
    assert all(relative(one - whole, whole - plain) < BOUND for one in results)
    with pytest.raises(SamplingError, match="tokens, where 12 were expected"):
        both(case, 2, (8, 6), HALF, monkeypatch, known=False)


@pytest.mark.parametrize("case", [case for case in SPLIT if "PuLID" in case])
def test_rows_of_text_or_of_the_image(case, monkeypatch):
    """PuLID's single blocks have to know which rows are the image's, with a mask or without."""
    for mask in (None, HALF):
        with pytest.raises(SamplingError, match="where (19|12) were expected"):
            both(case, 2, (8, 6), mask, monkeypatch, known=False)


def test_an_attention_that_another_pack_put_over_ours(monkeypatch):
    """Anima's operation is replaced after Apply: the reference would be lost without a word."""
    name, model, adapter, prompt = world("Anima PE-Core")
    patched = apply_image_prompt(model, adapter, prompt, Strength())
    operation = model.model.diffusion_model.blocks[0].cross_attn.attn_op
    patched.add_object_patch("diffusion_model.blocks.1.cross_attn.attn_op", operation)
    with pytest.raises(SamplingError, match="block 1 of Anima"):
        predict(patched, some_call(name))


@pytest.mark.parametrize("missing", ["block_type", "attn1_output_patch"])
def test_blocks_that_leave_out_a_hook(missing, monkeypatch):
    """Blocks of an engine's own that ask some patches only, or do not say which block they are."""
    import comfy.ldm.flux.layers as layers

    name, model, adapter, prompt = world("FLUX InstantX")
    forward = layers.SingleStreamBlock.forward

    def poorer(self, *args, transformer_options, **kwargs):
        options = {key: one for key, one in transformer_options.items() if key != missing}
        options["patches"] = {key: one for key, one in options["patches"].items() if key != missing}
        return forward(self, *args, transformer_options=options, **kwargs)

    monkeypatch.setattr(layers.SingleStreamBlock, "forward", poorer)
    with pytest.raises(SamplingError, match="does not say which one|without the hooks"):
        predict(apply_image_prompt(model, adapter, prompt, Strength()), some_call(name))


def test_parts_of_tokens():
    """Equal parts of which the last are filled up; anything else is none."""
    assert token_part(SequenceSplit(1, 2), 8, 15, 1) == (8, 8, 1)
    assert token_part(SequenceSplit(2, 3), 6, 15, 3) == (12, 6, 3)
    assert token_part(SequenceSplit(0, 2), 7, 15, 1) is None
    assert token_part(SequenceSplit(0, 2), 8, 15, 4) is None
