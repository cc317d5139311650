"""PuLID on FLUX.1 and Chroma against its published equations, stated in float64 behind blocks of ComfyUI's own models."""

import pytest
import torch
from pack.ipadapter_core.masks.canvas_mask import canvas_mask
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.prompt.features import each
from pack.ipadapter_core.prompt.image_prompt import EncodedImage, Reference
from pack.ipadapter_core.sampling.run import Run
from pack.ipadapter_core.sampling.strength import Strength
from pack.ipadapter_core.sampling.timeline import Timeline
from pack.ipadapter_core.weights.scaling import Scaling
from pack.ipadapter_core.weights.schedule import WeightSchedule
from pack.tools.miniature.pulid import face_features, part_of, pulid_flux, stated_attention, stated_former
from pack.tools.miniature.transformers import (
    adapter,
    predict,
    prompt_for,
    relative,
    some_call,
    tiny_transformer,
    weights_of,
)

pytestmark = [pytest.mark.adapters, pytest.mark.dit]

LIMIT, WEIGHT = 5e-6, 0.8
TEXT = 7  # rows of text in `some_call`
DEEP = {"depth": 5, "depth_single_blocks": 6}  # double blocks 0, 2, 4 and single blocks 0, 4
LAYERS = 5


def state(network, weights, tokens, shares=(1.0,)):
    """Behind every second double and every fourth single block, in this order: image rows += weight * share * attention.

    `tokens` (B, N, C) of each person, `shares` (L, 1) of them.
    """
    places = [(block, "double") for block in network.double_blocks[::2]]
    places += [(block, "single") for block in network.single_blocks[::4]]
    for number, (block, kind) in enumerate(places):
        part = part_of(weights, f"pulid_ca.{number}.")

        def added(rows, part=part):
            people = zip(tokens, shares, strict=True)
            return sum(
                WEIGHT * share * stated_attention(part, own, rows.double(), 128, joined=False) for own, share in people
            )

        def double(*args, original=block.forward, added=added, **kwargs):
            img, txt = original(*args, **kwargs)
            return (img.double() + added(img)).to(img), txt

        def single(*args, original=block.forward, added=added, **kwargs):
            x = original(*args, **kwargs)
            return torch.cat((x[:, :TEXT], (x[:, TEXT:].double() + added(x[:, TEXT:])).to(x)), 1)

        block.forward = double if kind == "double" else single
    assert len(places) == LAYERS


def report(title, ours, wanted, plain, capsys):
    effect, error = relative(wanted - plain, plain), relative(ours - wanted, wanted - plain)
    with capsys.disabled():
        print(f"\n  {title:26} effect {effect:.2f}  error {error:.1e}")
    assert effect > 0.05 and error <= LIMIT


@pytest.mark.parametrize("name", ["FLUX", "Chroma"])
def test_pulid_equals_the_published_model(name, capsys):
    """A positive and a negative pass in one batch: image rows only, text rows untouched, the negative of zeros."""
    weights = weights_of(pulid_flux(LAYERS, 256))
    face = face_features()
    model, call = tiny_transformer(name, **DEEP), some_call(name)
    ip_adapter = adapter(weights)
    plain = predict(model, call)
    ours = predict(apply_image_prompt(model, ip_adapter, prompt_for(ip_adapter, face), Strength(WEIGHT)), call, (0, 1))
    assert torch.equal(predict(model, call), plain)
    both = tuple(torch.cat((part, torch.zeros_like(part))) for part in face)
    state(model.model.diffusion_model, weights, [stated_former(weights, "pulid_encoder.", both)])
    report(f"{name} PuLID", ours, predict(model, call), plain, capsys)


def test_two_people_by_masks(capsys):
    """Each person in a half of the image: both additions are asked with the same rows, each under its own mask."""
    weights = weights_of(pulid_flux(LAYERS, 256))
    model, call = tiny_transformer("FLUX", **DEEP), some_call("FLUX")
    ip_adapter = adapter(weights)
    left = torch.tensor((1.0, 1.0, 0.0, 0.0, 0.0, 0.0)).expand(1, 8, 6)
    faces = face_features(8), face_features(11)
    people = tuple(
        Reference(EncodedImage(face, each(torch.zeros_like, face)), 1.0, canvas_mask(half))
        for face, half in zip(faces, (left, 1 - left), strict=True)
    )
    prompt = prompt_for(ip_adapter, faces[0]).with_references(people)
    plain = predict(model, call)
    ours = predict(apply_image_prompt(model, ip_adapter, prompt, Strength(WEIGHT)), call, (0, 1))
    tokens = [
        stated_former(weights, "pulid_encoder.", tuple(torch.cat((part, torch.zeros_like(part))) for part in face))
        for face in faces
    ]
    share = left[0, ::2, ::2].reshape(1, -1, 1).double()  # a token covers 2 x 2 places of the latent
    state(model.model.diffusion_model, weights, tokens, (share, 1 - share))
    report("two people by masks", ours, predict(model, call), plain, capsys)


@pytest.mark.parametrize("scaling", Scaling)
def test_weights_of_a_step_are_those_of_the_run(scaling):
    """A schedule that is flat gives what the weight gives, in every mode of scaling: the fold is linear in keys and values."""
    weights = weights_of(pulid_flux(2, 256))
    model, call = tiny_transformer("FLUX"), some_call("FLUX")
    ip_adapter = adapter(weights)
    prompt = prompt_for(ip_adapter, face_features())
    run = Run(timeline=Timeline(model.model.model_sampling.percent_to_sigma))
    flat = Strength(1.0, schedule=WeightSchedule(((0.0, 0.5),)), scaling=scaling)
    found = predict(apply_image_prompt(model, ip_adapter, prompt, flat), call, run=run)
    wanted = predict(apply_image_prompt(model, ip_adapter, prompt, Strength(0.5, scaling=scaling)), call)
    assert relative(found - wanted, wanted - predict(model, call)) < 2e-5
