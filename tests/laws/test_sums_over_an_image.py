"""PuLID for SDXL takes out what the text has said, by sums over an image: over which tokens, at masks, areas and tiles.

The rule: over every token that the layer is called with in that pass. A mask only says where what is left is added, so that
masks that complete one another add up; a pass over an area or a tile sums over that part, as over an image of its own.
"""

from functools import cache

import pytest
import torch
from pack.ipadapter_core.errors import SamplingError
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.families.unet import layer_map
from pack.ipadapter_core.sampling.identity_method import IdentityMethod
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.families import FAMILIES, features_of
from pack.tests.oracles.recorded_passes import Recorder, alone, attend, sample, short_model, text
from pack.tools.miniature.pulid import part_of
from pack.tools.miniature.pulid_sdxl import Stated, stated_addition, stated_encoder, stated_former
from pack.tools.miniature.transformers import adapter, prompt_for, relative

pytestmark = [pytest.mark.engine, pytest.mark.adapters]

CASES = {"UNet PuLID v1": Stated(0.8, 8, "v2"), "UNet PuLID v1.1": Stated(0.8, 20, "v2")}
LIMIT = 1e-9
every_case = pytest.mark.parametrize("case", CASES)


class StatedLayer:
    """A layer of the reference: the text's attention and, in float64, what the face adds over the tokens of this very call.

    With `left` it is added in the left half of the tokens alone.
    """

    def __init__(self, part, tokens, how, left):
        self.keys = [tokens @ part[f"id_to_{which}.weight"].T for which in "kv"]
        self.how, self.left = how, left

    def __call__(self, query, key, value, options):
        said = attend(query, key, value, options["n_heads"])
        own = (one.expand(len(query), -1, -1) for one in self.keys)
        added = stated_addition(query, said, *own, options["n_heads"], self.how)
        rows, columns = options["activations_shape"][-2:]
        where = (torch.arange(columns) < columns // 2).repeat(rows).unsqueeze(-1)
        return (said.double() + (added * where if self.left else added)).to(query)


@cache
def exact_world(case):
    """The family's row in float64: model, adapter, prompt."""
    ip_adapter = adapter({key: one.double() for key, one in FAMILIES[case].weights().items()})
    face = tuple(part.double() for part in features_of(case, 8))
    return short_model(torch.float64), ip_adapter, prompt_for(ip_adapter, face)


def stated_hooks(case, features, left=False):
    """A reference layer for each place of the UNet, for one side."""
    weights = FAMILIES[case].weights()
    tokens = stated_former(weights, [features]) if case.endswith("v1.1") else stated_encoder(weights, features)
    places = enumerate(layer_map(exact_world(case)[0].model.diffusion_model))
    return {
        place.block: StatedLayer(
            part_of(weights, f"id_adapter_attn_layers.{2 * number + 1}."), tokens, CASES[case], left
        )
        for number, place in places
    }


def differences(case, model, conds, left=False):
    """For each pass of a run its latent's size, its side, and how far it is from the reference on that latent alone."""
    plain_model, _, prompt = exact_world(case)
    image = prompt.references[0].image
    recorder = Recorder(model)
    sample(recorder.model, steps=1, conds=conds)
    sides = {side: stated_hooks(case, features, left) for side, features in ((0, image.negative), (1, image.features))}
    for one in recorder.passes:
        side = int(not torch.equal(one.context, conds[1][0][0]))
        plain, wanted = alone(plain_model, one, {}), alone(plain_model, one, sides[side])
        yield tuple(one.latent.shape[-2:]), side, relative(one.output - wanted, wanted - plain)


@every_case
def test_an_area_is_an_image_of_its_own(case):
    """A positive text over the whole, one over the right half and one over a tile: each pass as if it were alone."""
    model, ip_adapter, prompt = exact_world(case)
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength(0.8))
    positive = [*text(0), *text(2, area=(16, 8, 0, 8)), *text(3, area=(8, 8, 8, 4))]
    found = list(differences(case, patched, (positive, text(1))))
    assert max(error for *_, error in found) < LIMIT
    assert {(size, side) for size, side, _ in found} >= {((16, 16), 0), ((16, 16), 1), ((16, 8), 1), ((8, 8), 1)}


@every_case
def test_a_mask_only_says_where(case):
    """The sums of the whole image, what is left of them in the half that the mask covers."""
    model, ip_adapter, prompt = exact_world(case)
    mask = (torch.arange(16) < 8).float().expand(1, 16, 16)
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength(0.8), mask)
    found = list(differences(case, patched, (text(0), text(1)), left=True))
    assert len(found) == 2 and max(error for *_, error in found) < LIMIT


@every_case
def test_some_of_the_tokens_are_refused(case):
    """A pack that merges tokens: a sum over part of an image would be another one, so one sentence says so."""
    model, ip_adapter, prompt = exact_world(case)
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength(0.8))
    patched.set_model_attn2_patch(lambda query, key, value, _: (query[:, ::2], key, value))
    patched.set_model_attn2_output_patch(lambda out, _: out.repeat_interleave(2, dim=1))
    with pytest.raises(SamplingError, match="with 128 tokens, where 256 were expected"):
        sample(patched, steps=1)
    plain = apply_image_prompt(model, ip_adapter, prompt, Strength(0.8, method=IdentityMethod.NEUTRAL))
    plain.set_model_attn2_patch(lambda query, key, value, _: (query[:, ::2], key, value))
    plain.set_model_attn2_output_patch(lambda out, _: out.repeat_interleave(2, dim=1))
    assert torch.isfinite(sample(plain, steps=1)).all()
