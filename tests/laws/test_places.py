"""Adapters that read several people in one softmax: each reference's tokens are there in that reference's place only."""

from dataclasses import replace

import pytest
import torch
from pack.ipadapter_core.checkpoint.enums import Overlap
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.families.unet import layer_map
from pack.ipadapter_core.prompt.combine import MaskBatch, combine, weigh
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.naive_layer import CONTEXT, GRID, HEADS, bench, effect, far, keys_values, picture, prompt, query
from pack.tools.miniature.models import managed

pytestmark = pytest.mark.engine

EXACT, LAYER = 1e-12, 5
LEFT = torch.tensor((1.0, 1.0, 1.0, 0.0)).expand(1, *GRID)  # of the columns of the grid under test
RIGHT = torch.tensor((0.0, 0.0, 1.0, 0.0)).expand(1, *GRID)


@pytest.fixture(scope="module")
def stand():
    """A miniature whose references share a softmax where their places overlap."""
    model, adapter, weights = bench()
    spec = replace(adapter.spec, projector=replace(adapter.spec.projector, overlap=Overlap.ONE_SOFTMAX))
    assert spec.text_width == CONTEXT
    return model, replace(managed(weights), spec=spec), weights


def asked(stand, batch=2):
    return query(layer_map(stand[0].model.diffusion_model)[LAYER].width, batch)


def found(stand, image_prompt, strength=None, mask=None, batch=2):
    model, adapter, _ = stand
    return effect(
        apply_image_prompt(model, adapter, image_prompt, strength or Strength(), mask), LAYER, asked(stand, batch)
    )


def stated(stand, references, places, batch=2):
    """For each row and head sum_r m_r e_r v_r / sum_r m_r e_r, times min(1, sum_r m_r); `places` (L,) of each reference."""
    rows = []
    for number, given in enumerate(asked(stand, batch)):
        side = "features" if number >= batch // 2 else "negative"
        pairs = [keys_values(stand[2], LAYER, getattr(one.image, side)) for one in references]
        heads = []
        for head in range(HEADS):
            above = below = 0
            for (key, value), one, place in zip(pairs, references, places, strict=True):
                q, k, v = (part.chunk(HEADS, -1)[head] for part in (given, key, value))
                scores = torch.exp(q @ k.T / q.shape[-1] ** 0.5) * place.flatten().unsqueeze(-1)
                above, below = above + scores @ v * one.weight, below + scores.sum(-1, keepdim=True)
            heads.append(above / below.clamp(min=1e-300))
        total = sum(place.flatten() for place in places).clamp(max=1).unsqueeze(-1)
        rows.append(torch.cat(heads, -1) * total)
    return torch.stack(rows)


def two_people(left=LEFT, right=RIGHT):
    return combine([weigh(prompt(picture(2)), 1.0, left), weigh(prompt(picture(3)), 0.6, right)])


def test_one_softmax_where_places_overlap_and_nothing_outside(stand):
    """Beside both places the addition is 0, to the bit."""
    people = two_people()
    ours = found(stand, people)
    assert far(ours, stated(stand, people.references, (LEFT.double(), RIGHT.double()))) < EXACT
    assert not ours.unflatten(1, GRID)[:, :, 3].any() and ours.unflatten(1, GRID)[:, :, :3].all()


def test_soft_places(stand):
    """A place of a half acts by half, and two that make up a whole act as a whole; where they overlap they share by it."""
    soft = torch.tensor((0.5, 0.5, 0.25, 0.0)).expand(1, *GRID), torch.tensor((0.5, 0.0, 1.0, 0.0)).expand(1, *GRID)
    people = two_people(*soft)
    assert far(found(stand, people), stated(stand, people.references, [one.double() for one in soft])) < EXACT


def test_a_token_that_a_place_touches_is_in_it(stand):
    """Masks finer than the grid: the largest value that a token covers, as boxes are rounded outwards."""
    fine = torch.zeros(1, 3 * 4, 4 * 4)
    fine[:, 1, 5:9] = 1.0  # tokens 1 and 2 of the first row, both in part
    person = prompt(picture(2))
    place = torch.zeros(1, *GRID).double()
    place[:, 0, 1:3] = 1.0
    assert far(found(stand, weigh(person, 1.0, fine)), stated(stand, person.references, (place,))) < EXACT


def test_without_places_of_their_own_all_are_seen_everywhere(stand):
    """To the bit what references do that have none; and one without a place is seen beside one that has one."""
    pair = prompt(picture(2), picture(3))
    everywhere = torch.ones(1, *GRID).double()
    ours = found(stand, pair)
    assert far(ours, stated(stand, pair.references, (everywhere, everywhere))) < EXACT
    assert torch.equal(found(stand, weigh(pair, 1.0, torch.ones(1, 8, 8))), ours)
    one_placed = combine([weigh(prompt(picture(2)), 1.0, LEFT), prompt(picture(3))])
    assert far(found(stand, one_placed), stated(stand, one_placed.references, (LEFT.double(), everywhere))) < EXACT


def test_the_mask_of_the_application_is_a_factor(stand):
    """What *Apply IP-Adapter* is given weighs what all references bring; so does a step's weight."""
    people, rows = two_people(), torch.tensor((1.0, 0.5, 0.0)).view(1, 3, 1).expand(1, *GRID)
    whole = found(stand, people)
    expected = whole * rows.reshape(1, -1, 1)
    assert far(found(stand, people, mask=rows), expected) < EXACT
    assert far(found(stand, people, Strength(1.0, frames=(0.5,)), rows), expected * 0.5) < EXACT


def test_places_of_each_image(stand):
    """A place for each image of the batch, the last one for all that follow."""
    clip = torch.cat((LEFT, RIGHT))
    person = combine([weigh(prompt(picture(2)), 1.0, clip, MaskBatch.PER_FRAME), prompt(picture(3))])
    ours = found(stand, person, batch=6)
    for frame, place in enumerate((LEFT, RIGHT, RIGHT)):
        wanted = stated(stand, person.references, (place.double(), torch.ones(GRID).double()), batch=6)
        for row in (frame, 3 + frame):
            assert far(ours[row], wanted[row]) < EXACT
