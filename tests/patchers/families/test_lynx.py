"""Lynx on Wan against its published equations, stated in float64 inside the cross-attentions of ComfyUI's own models."""

import pytest
import torch
from pack.ipadapter_core.masks.canvas_mask import canvas_mask
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.prompt.image_prompt import EncodedImage, Reference
from pack.ipadapter_core.sampling.strength import Strength
from pack.tools.miniature.lynx import lynx_full, lynx_lite, stated_attention, stated_tokens
from pack.tools.miniature.pulid import part_of
from pack.tools.miniature.transformers import (
    adapter,
    noise,
    predict,
    prompt_for,
    relative,
    some_call,
    tiny_transformer,
    weights_of,
)
from pack.tools.miniature.wan import CLIP_TOKENS, CLIP_WIDTH

pytestmark = [pytest.mark.adapters, pytest.mark.dit]

LIMIT, WEIGHT = 5e-6, 0.8
KINDS = {"lite": (lynx_lite(), 2), "full": (lynx_full(), 1)}  # shapes, and in every which block
FRAMES, ROWS, COLUMNS = 3, 4, 3  # of tokens in `some_call`


def state(network, kind, weights, identities, shares=(1.0,)):
    """In every block or every second: what goes into the projection += weight * share * attention.

    `identities` (B, 512) of each reference, `shares` (L, 1) or 1 of them.
    """
    tokens = [stated_tokens(weights, one) for one in identities]
    step = KINDS[kind][1]
    for number, block in enumerate(network.blocks[::step]):
        part, layer = part_of(weights, f"blocks.{number * step}.cross_attn.ip_adapter."), block.cross_attn

        def projected(x, part=part, layer=layer, original=layer.o.forward):
            gain = layer.norm_k.weight.double() if kind == "full" else None
            added = sum(
                share * stated_attention(part, own, layer.asked, layer.num_heads, gain)
                for own, share in zip(tokens, shares, strict=True)
            )
            return original((x.double() + WEIGHT * added).to(x))

        def asked(x, layer=layer, original=layer.norm_q.forward):
            layer.asked = original(x)
            return layer.asked

        layer.norm_q.forward, layer.o.forward = asked, projected


def with_image(call):
    """The same with tokens of the image's own, as CLIP vision makes them."""
    clip = noise(len(call.latent), CLIP_TOKENS, CLIP_WIDTH, seed=9)
    return call._replace(arguments=call.arguments | {"clip_fea": clip})


CASES = {
    "text to video": ("Wan", lambda call: call),
    "image to video": ("Wan i2v", with_image),
    "image to video, no image": ("Wan i2v", lambda call: call),
}


def report(title, ours, wanted, plain, capsys):
    effect, error = relative(wanted - plain, plain), relative(ours - wanted, wanted - plain)
    with capsys.disabled():
        print(f"\n  {title:36} effect {effect:.2f}  error {error:.1e}")
    assert effect > 0.02 and error <= LIMIT


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CASES)
def test_lynx_equals_the_published_equations(kind, case, capsys):
    """A positive and a negative pass in one batch, the negative of zeros; beside an image-to-video model's own branch once."""
    weights, identity = weights_of(KINDS[kind][0]), noise(1, 512, seed=8)
    name, given = CASES[case]
    model, call = tiny_transformer(name), given(some_call(name))
    ip_adapter = adapter(weights)
    plain = predict(model, call)
    ours = predict(
        apply_image_prompt(model, ip_adapter, prompt_for(ip_adapter, identity), Strength(WEIGHT)), call, (0, 1)
    )
    assert torch.equal(predict(model, call), plain)
    state(model.model.diffusion_model, kind, weights, [torch.cat((identity, torch.zeros_like(identity)))])
    report(f"Lynx {kind}, {case}", ours, predict(model, call), plain, capsys)


def halves():
    """Masks of three frames of a video, one latent frame each by the rule: 1, 3 and 7 of nine; left, right, nothing."""
    left = torch.tensor((1.0, 1.0, 0.0, 0.0, 0.0, 0.0)).expand(8, 6)
    masks = torch.zeros(9, 8, 6)
    masks[0], masks[2], masks[1], masks[6] = left, 1 - left, 0.3, 0.5 * left
    return masks, torch.stack((left, 1 - left, 0.5 * left))


@pytest.mark.parametrize("kind", KINDS)
def test_two_people_by_masks_of_frames(kind, capsys):
    """Each person where and when its masks say so: a latent frame goes by the second of its four frames."""
    weights = weights_of(KINDS[kind][0])
    model, call = tiny_transformer("Wan"), some_call("Wan")
    ip_adapter = adapter(weights)
    masks, of_frames = halves()
    people = noise(1, 512, seed=8), noise(1, 512, seed=11)
    references = tuple(
        Reference(EncodedImage(one, torch.zeros_like(one)), 1.0, canvas_mask(mask))
        for one, mask in zip(people, (masks, 1 - masks), strict=True)
    )
    prompt = prompt_for(ip_adapter, people[0]).with_references(references)
    plain = predict(model, call)
    ours = predict(apply_image_prompt(model, ip_adapter, prompt, Strength(WEIGHT)), call, (0, 1))
    share = of_frames[:, ::2, ::2].reshape(1, -1, 1).double()
    assert share.shape[1] == FRAMES * ROWS * COLUMNS
    both = [torch.cat((one, torch.zeros_like(one))) for one in people]
    state(model.model.diffusion_model, kind, weights, both, (share, 1 - share))
    report(f"Lynx {kind}, two people by frames", ours, predict(model, call), plain, capsys)


def test_references_and_weights_of_frames(capsys):
    """A reference for each frame of the video, the last one for all that follow, under a weight for each."""
    weights = weights_of(KINDS["lite"][0])
    model, call = tiny_transformer("Wan"), some_call("Wan")
    ip_adapter = adapter(weights)
    people = noise(1, 512, seed=8), noise(1, 512, seed=11)
    by_frame = Strength(WEIGHT, frames=(1.0, 0.2, 0.6, 0.3))
    plain = predict(model, call)
    patched = apply_image_prompt(model, ip_adapter, prompt_for(ip_adapter, *people), by_frame, per_frame=True)
    ours = predict(patched, call, (0, 1))
    first = torch.tensor((1.0, 0.0, 0.0)).repeat_interleave(ROWS * COLUMNS).view(1, -1, 1).double()
    rest = torch.tensor((0.0, 0.6, 0.3)).repeat_interleave(ROWS * COLUMNS).view(1, -1, 1).double()
    both = [torch.cat((one, torch.zeros_like(one))) for one in people]
    state(model.model.diffusion_model, "lite", weights, both, (first, rest))
    report("Lynx lite, by frames", ours, predict(model, call), plain, capsys)
