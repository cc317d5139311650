"""Guidance by text and image beside ControlNets, areas, windows, batches in parts, and packs that have a hand in guidance."""

import copy

import pytest
import torch
from pack.ipadapter_core.errors import SamplingError
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.prompt.words import bind_words
from pack.ipadapter_core.sampling.polarity import PolarityRule
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.control_net import control_net
from pack.tests.oracles.image_guiders import NEGATIVE, POSITIVE, ours, two_references
from pack.tests.oracles.recorded_passes import (
    Recorder,
    guide,
    noise,
    picture,
    prompt_of,
    short_adapter,
    short_model,
    text,
)
from pack.tests.oracles.split_batches import RowSplit
from pack.tests.oracles.three_passes import IMAGE_FIRST, ORDERS, TEXT_FIRST, ThreeCalls
from pack.tests.oracles.words import CAT, told
from pack.tools.miniature.transformers import relative

import comfy.samplers
from comfy.patcher_extension import WrappersMP
from comfy_extras.nodes_context_windows import ContextWindowsManualNode
from comfy_extras.nodes_model_advanced import RescaleCFG
from nodes import ControlNetApplyAdvanced

pytestmark = pytest.mark.engine

SCALES = (4.0, 2.0)
BOUND = 3e-6
both_orders = pytest.mark.parametrize("order", ORDERS)


@pytest.fixture(scope="module")
def pair():
    """A model and an adapter."""
    model = short_model()
    return model, short_adapter(model)


@pytest.fixture(scope="module")
def patched(pair):
    """With two references in a node and one in another."""
    return two_references(*pair)


def same(found, wanted):
    """As close as two orders of the same sums."""
    return relative(found - wanted, wanted) < BOUND


@both_orders
def test_control_nets_and_areas_come_to_the_pass_between(patched, order):
    """As they come to the prompt whose words it has."""
    hint = torch.rand(1, 128, 128, 3, generator=torch.Generator().manual_seed(8))
    areas = [POSITIVE[0], [text(5)[0][0], {"area": (16, 8, 0, 8), "strength": 0.7}]]
    texts = ControlNetApplyAdvanced().apply_controlnet(areas, NEGATIVE, control_net(), hint, 0.6, 0.0, 1.0)
    recorder = Recorder(patched)
    found = guide(ours(recorder.model, SCALES, order, texts))
    assert recorder.passes and all(one.control for one in recorder.passes)
    assert same(found, guide(ThreeCalls(patched, *texts, *SCALES, order)))


@both_orders
def test_a_control_net_of_the_old_node(patched, order):
    """ComfyUI itself carries it from the positive to the negative prompt, and so it comes to both passes without the words."""
    hint = torch.rand(1, 128, 128, 3, generator=torch.Generator().manual_seed(8))
    control = control_net().copy().set_cond_hint(hint.movedim(-1, 1), 0.6)
    texts = text(0, control=control, control_apply_to_uncond=True), NEGATIVE
    recorder = Recorder(patched)
    guide(ours(recorder.model, SCALES, order, texts), steps=1)
    assert len(recorder.passes) == 3 and all(one.control for one in recorder.passes)


@both_orders
def test_windows_of_frames(pair, order):
    """ComfyUI's context windows cut every prompt, which keeps its side; each frame has its own weight."""
    framed = two_references(*pair, frames=(1.0, 0.2, 0.6))
    windowed = ContextWindowsManualNode.execute(
        framed, 2, 1, "standard_static", 1, False, "pyramid", 0, False, causal_window_fix=False
    ).args[0]
    recorder = Recorder(windowed)
    found, wanted = (guide(ours(model, SCALES, order), latent=noise(3)) for model in (recorder.model, framed))
    assert recorder.passes and all(len(one.latent) == 2 for one in recorder.passes)
    assert same(found, wanted)


@both_orders
@pytest.mark.parametrize(
    "rows", [[[0], [1], [2], [3], [4], [5]], [[0, 2, 4], [1, 3, 5]], [[5], [0, 1, 2, 3, 4]]], ids=str
)
def test_a_batch_in_parts(patched, order, rows):
    """Two images in three passes, cut up by an engine: each row keeps its side."""
    split = RowSplit(rows)
    found = guide(ours(split.around(patched), SCALES, order), latent=noise(2))
    assert same(found, guide(ours(patched, SCALES, order), latent=noise(2))) and split.calls


@both_orders
def test_a_pack_that_copies_and_renumbers_prompts(patched, order):
    """The side stays with the entries."""

    def copied(executor, model, conds, *args, **kwargs):
        renumbered = [
            [{key: copy.copy(value) for key, value in entry.items()} | {"uuid": object()} for entry in entries or ()]
            for entries in conds
        ]
        return executor(model, renumbered, *args, **kwargs)

    wrapped = patched.clone()
    wrapped.add_wrapper_with_key(WrappersMP.CALC_COND_BATCH, "a pack", copied)
    assert same(guide(ours(wrapped, SCALES, order)), guide(ours(patched, SCALES, order)))


@both_orders
def test_old_images_by_index(pair, order):
    """The old rule tells sides by place, where nobody says them; here they are said."""
    old = two_references(*pair, polarity_rule=PolarityRule.BY_INDEX)
    assert torch.equal(guide(ours(old, SCALES, order)), guide(ours(two_references(*pair), SCALES, order)))


@both_orders
def test_a_pack_that_repeats_prompts_inside_the_model_is_refused(patched, order):
    """It tells by place which ones it takes for positive, so that sides cannot be told any more: one error."""

    def widened(query, context, value, options):
        sides = zip(options["cond_or_uncond"], *(one.chunk(3) for one in (query, context, value)), strict=True)
        rows = [parts for index, *parts in sides for _ in range(1 if index == 1 else 2)]
        return tuple(torch.cat(one) for one in zip(*rows, strict=True))

    couple = patched.clone()
    couple.set_model_attn2_patch(widened)
    with pytest.raises(SamplingError, match="which of them see the reference"):
        guide(ours(couple, SCALES, order), steps=1)


@both_orders
def test_rescaled_guidance(patched, order):
    """RescaleCFG at 0 is no change; above it the two predictions that it sees make the same sum, closer to the text's."""
    plain = guide(ours(patched, SCALES, order))
    none, half = (guide(ours(RescaleCFG().patch(patched, by)[0], SCALES, order)) for by in (0.0, 0.5))
    assert relative(none - plain, plain) < 1e-5
    assert half.isfinite().all() and relative(half - plain, plain) > 1e-3


@both_orders
def test_packs_before_and_after(patched, order):
    """What they see: the prompts with their sides, each prediction, the sum; what they return counts."""
    seen = {}

    def before(args):
        both, neither, one = args["conds_out"]
        seen["again"] = [
            comfy.samplers.calc_cond_batch(
                args["model"], [entries], args["input"], args["sigma"], args["model_options"]
            )[0]
            for entries in args["conds"]
        ]
        seen["found"] = [both, neither, one]
        seen.setdefault("numbers", []).append([entries[0]["uuid"] for entries in args["conds"]])
        return [both + 1, neither]

    def after(args):
        seen["after"] = args
        return args["denoised"] * 2

    hooked = patched.clone()
    hooked.set_model_sampler_pre_cfg_function(before)
    hooked.set_model_sampler_post_cfg_function(after)
    found = guide(ours(hooked, SCALES, order), steps=1)
    guide(ours(hooked, SCALES, order), steps=3)
    assert all(len(set(one)) == 3 for one in seen["numbers"]) and len({tuple(one) for one in seen["numbers"]}) == 2
    assert all(same(one, other) for one, other in zip(seen["again"], seen["found"], strict=True))
    plain, args = guide(ours(patched, SCALES, order), steps=1), seen["after"]
    second = SCALES[0] if order == IMAGE_FIRST else SCALES[1]
    factor = patched.model.process_latent_out(torch.ones(1))
    assert relative(found - 2 * (plain + second * factor), found) < 1e-5
    assert torch.equal(args["cond_denoised"], seen["found"][0] + 1)
    assert torch.equal(args["uncond_denoised"], seen["found"][1]) and args["cond_scale"] == SCALES[0]
    assert args["cond"][0]["cross_attn"] is not None and args["input"].shape == args["denoised"].shape


@both_orders
def test_a_pack_that_calculates_itself(patched, order):
    """It gets all three prompts."""
    counts = []

    def calculate(args):
        counts.append(len(args["conds"]))
        return comfy.samplers.calc_cond_batch(
            args["model"], args["conds"], args["input"], args["sigma"], args["model_options"]
        )

    taken = patched.clone()
    taken.set_model_sampler_calc_cond_batch_function(calculate)
    assert torch.equal(guide(ours(taken, SCALES, order)), guide(ours(patched, SCALES, order))) and counts == [3, 3]


def test_references_with_words(pair):
    """The pass of the text alone sees no reference; the negative text has no words, and one error says what to choose."""
    worded = apply_image_prompt(*pair, bind_words(prompt_of(picture(2)), CAT), Strength())
    found = guide(ours(worded, SCALES, TEXT_FIRST, (told(), NEGATIVE)))
    assert same(found, guide(ThreeCalls(worded, told(), NEGATIVE, *SCALES, TEXT_FIRST)))
    with pytest.raises(SamplingError, match="'text, then image' in Image Prompt Guider"):
        guide(ours(worded, SCALES, IMAGE_FIRST, (told(), NEGATIVE)))
