"""Which pass sees the reference: every guider, every way of putting passes together, each against itself alone."""

import logging

import pytest
import torch
from pack.ipadapter_core.errors import SamplingError
from pack.tests.oracles.guider_runs import (
    BOTH,
    GUIDERS,
    MIDDLE,
    NEGATIVE,
    POSITIVE,
    run_dual_model,
    run_dual_regular,
    run_sag,
)
from pack.tests.oracles.recorded_passes import (
    Recorder,
    alone,
    error,
    guide,
    naive_hooks,
    noise,
    patched,
    picture,
    sample,
    short_adapter,
    short_model,
    text,
)

import comfy.model_patcher
import comfy.samplers
from comfy.context_windows import ContextFuseMethods, ContextSchedules
from comfy_extras.nodes_context_windows import ContextWindowsManualNode
from comfy_extras.nodes_custom_sampler import DualCFGGuider
from comfy_extras.nodes_pag import PerturbedAttentionGuidance

pytestmark = pytest.mark.engine

PICTURE = picture(2)

BOUND = 2e-6


class World:
    """A patched model whose passes are recorded, and what each side of it should predict."""

    def __init__(self):
        self.base = short_model()
        self.adapter = short_adapter(self.base)
        self.recorder = Recorder(patched(self.base, self.adapter, PICTURE))
        self.hooks = {
            "positive": naive_hooks(self.base, self.adapter, PICTURE.features),
            "negative": naive_hooks(self.base, self.adapter, PICTURE.negative),
        }

    @property
    def model(self):
        return self.recorder.model

    def check(self, expected: dict[str, list], passes: int) -> None:
        """Each pass, known by its text, predicts what it predicts alone with its side; the other side would differ."""
        assert len(self.recorder.passes) == passes
        for one in self.recorder.passes:
            side = next(side for side, texts in expected.items() for known in texts if same_text(one.context, known))
            other = "negative" if side == "positive" else "positive"
            assert error(one.output, alone(self.base, one, self.hooks[side])) < BOUND
            assert error(one.output, alone(self.base, one, self.hooks[other])) > 1e-2


def same_text(context, conditioning) -> bool:
    return torch.equal(context[0], conditioning[0][0][0])


@pytest.fixture
def world():
    return World()


@pytest.mark.parametrize(("run", "sides", "passes"), GUIDERS, ids=[run.__name__[4:] for run, *_ in GUIDERS])
@pytest.mark.parametrize("memory", ["together", "apart"])
def test_polarity_for_every_guider(world, monkeypatch, run, sides, passes, memory):
    if memory == "apart":
        monkeypatch.setattr(comfy.model_patcher.ModelPatcher, "get_free_memory", lambda *_: 0)
    run(world.model)
    world.check(sides, passes)
    assert (max(world.recorder.together) == 1) == (memory == "apart" or passes == 1 or run is run_dual_model)


def test_polarity_of_perturbed_attention(world):
    """PAG asks for the positive pass once more, by itself."""
    sample(PerturbedAttentionGuidance.execute(world.model, 3.0)[0], steps=1)
    *usual, perturbed = world.recorder.passes
    assert len(usual) == 2 and same_text(perturbed.context, POSITIVE)
    expected = alone(world.base, perturbed, world.hooks["positive"], {("middle", 0): lambda q, k, v, options: v})
    assert error(perturbed.output, expected) < BOUND
    assert error(perturbed.output, alone(world.base, perturbed, world.hooks["positive"])) > 1e-3


AREA = {"area": (8, 8, 0, 8), "strength": 0.7, "set_area_to_bounds": False}

MASK = {"mask": torch.ones(1, 16, 16).tril(), "mask_strength": 1.0, "set_area_to_bounds": False}

SEVERAL = {
    "several": ([text(0), text(3)], [text(1), text(4), text(5)], 5),
    "area": ([text(0), text(3, **AREA)], [text(1)], 4),
    "area on both": ([text(0), text(3, **AREA)], [text(1), text(4, area=(8, 8, 8, 0))], 6),
    "mask": ([text(0, **MASK), text(3)], [text(1)], 3),
    "mask with bounds": ([text(0), text(3, **MASK | {"set_area_to_bounds": True})], [text(1)], 4),
    "default": ([text(0, **MASK), text(3, default=True)], [text(1)], 3),
    "hidden by time": ([text(0), text(3, start_percent=0.9)], [text(1)], 2),
}


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("memory", ["together", "apart"])
def test_polarity_of_several_conditionings(world, monkeypatch, name, memory):
    """Entries that ComfyUI copies over keep their uuid."""
    if memory == "apart":
        monkeypatch.setattr(comfy.model_patcher.ModelPatcher, "get_free_memory", lambda *_: 0)
    positive, negative, passes = SEVERAL[name]
    sample(world.model, steps=1, conds=(sum(positive, []), sum(negative, [])))
    world.check({"positive": positive, "negative": negative}, passes)


def test_polarity_in_context_windows(world):
    """Windows rebuild the lists of conditionings."""
    windows = ContextWindowsManualNode.execute(
        world.model, context_length=2, context_overlap=0, context_schedule=ContextSchedules.STATIC_STANDARD,
        context_stride=1, closed_loop=False, fuse_method=ContextFuseMethods.PYRAMID, dim=0, freenoise=False,
    )[0]  # fmt: skip
    guider = DualCFGGuider.execute(windows, POSITIVE, MIDDLE, NEGATIVE, 4.0, 3.0, "regular")[0]
    guide(guider, steps=1, latent=noise(4))
    world.check({"positive": [POSITIVE, MIDDLE], "negative": [NEGATIVE]}, 6)


class NamelessGuider(comfy.samplers.CFGGuider):
    """Another pack's guider, with a name of its own for a prompt."""

    def set_conds(self, first, negative):
        self.inner_set_conds({"first": first, "negative": negative})

    def predict_noise(self, x, timestep, model_options=None, seed=None):
        lists = [self.conds["negative"], self.conds["first"]]
        negative, first = comfy.samplers.calc_cond_batch(self.inner_model, lists, x, timestep, model_options)
        return negative + 3 * (first - negative)


class CopyingGuider(comfy.samplers.CFGGuider):
    """A guider that makes entries of its own out of its prompts, in an order of its own."""

    def predict_noise(self, x, timestep, model_options=None, seed=None):
        lists = [[self.copied(entry) for entry in self.conds[role]] for role in ("negative", "positive")]
        second, first = comfy.samplers.calc_cond_batch(self.inner_model, lists, x, timestep, model_options)
        return second + 3 * (first - second)

    def copied(self, entry):
        """The same text under another number."""
        return entry | {"uuid": object()}


class HidingGuider(CopyingGuider):
    """A guider whose prompts nobody has seen before."""

    def copied(self, entry):
        """Another tensor, too."""
        return entry | {"uuid": object(), "cross_attn": entry["cross_attn"].clone()}


class DirectGuider(comfy.samplers.CFGGuider):
    """A guider that calls the model itself, for one prompt after the other, each of them the first of its call."""

    def predict_noise(self, x, timestep, model_options=None, seed=None):
        options = model_options["transformer_options"] | {"cond_or_uncond": [0]}
        negative, positive = (
            self.inner_model.apply_model(x, timestep, c_crossattn=self.said(role), transformer_options=options)
            for role in ("negative", "positive")
        )
        return negative + 3 * (positive - negative)

    def said(self, role):
        """The text as the network gets it."""
        return self.conds[role][0]["model_conds"]["c_crossattn"].cond.clone()


class RewritingGuider(DirectGuider):
    """One whose texts nobody else has."""

    def said(self, role):
        return text(5)[0][0]


@pytest.mark.parametrize(
    ("kind", "said", "sides", "passes"),
    [
        (NamelessGuider, "'first'", BOTH, 2),
        (RewritingGuider, "calls the model directly", {"positive": [text(5)]}, 2),
    ],
)
def test_polarity_unknown_is_said_once(world, caplog, kind, said, sides, passes):
    """The documented rule holds and is said once, however many steps."""
    guider = kind(world.model)
    guider.set_conds(POSITIVE, NEGATIVE)
    guider.set_cfg(4.0)
    with caplog.at_level(logging.WARNING):
        guide(guider, steps=3)
    assert [said in message for message in caplog.messages].count(True) == 1
    world.check(sides, 3 * passes)


def test_polarity_of_copied_entries(world, caplog):
    """Entries are known by their text, in whatever order they come."""
    guider = CopyingGuider(world.model)
    guider.set_conds(POSITIVE, NEGATIVE)
    guider.set_cfg(4.0)
    with caplog.at_level(logging.WARNING):
        guide(guider, steps=1)
    assert not caplog.messages
    world.check(BOTH, 2)


def test_polarity_of_a_sampler_that_calls_the_model_itself(world, caplog):
    """Each call has one pass, the first one: its text says of which side it is. Fails when its number alone does."""
    guider = DirectGuider(world.model)
    guider.set_conds(POSITIVE, NEGATIVE)
    guider.set_cfg(4.0)
    with caplog.at_level(logging.WARNING):
        guide(guider, steps=2)
    assert not caplog.messages
    world.check(BOTH, 4)


def test_polarity_of_prompts_that_nobody_knows(world):
    """Several lists of which the guider knows none: one sentence."""
    guider = HidingGuider(world.model)
    guider.set_conds(POSITIVE, NEGATIVE)
    guider.set_cfg(4.0)
    with pytest.raises(SamplingError, match="the guider knows none of them"):
        guide(guider, steps=1)


def test_polarity_known_is_not_talked_about(world, caplog):
    """Usual runs log nothing."""
    with caplog.at_level(logging.WARNING):
        run_dual_regular(world.model)
        run_sag(world.model)
    assert not [record for record in caplog.records if "IP-Adapter" in record.message]
