"""One step by each of ComfyUI's guiders, and which texts are on which side."""

from pack.tests.oracles.recorded_passes import (
    guide,
    sample,
    text,
)

from comfy_extras.nodes_custom_sampler import BasicGuider, CFGGuider, DualCFGGuider, DualModelGuider
from comfy_extras.nodes_perpneg import PerpNeg, PerpNegGuider
from comfy_extras.nodes_sag import SelfAttentionGuidance

POSITIVE, NEGATIVE, MIDDLE = text(0), text(1), text(2)


def run_ksampler(model):
    sample(model, steps=1)


def run_cfg_guider(model):
    guide(CFGGuider.execute(model, POSITIVE, NEGATIVE, 4.0)[0], steps=1)


def run_cfg_one(model):
    guide(CFGGuider.execute(model, POSITIVE, NEGATIVE, 1.0)[0], steps=1)


def run_basic(model):
    guide(BasicGuider.execute(model, POSITIVE)[0], steps=1)


def run_dual_regular(model):
    guide(DualCFGGuider.execute(model, POSITIVE, MIDDLE, NEGATIVE, 4.0, 3.0, "regular")[0], steps=1)


def run_dual_one(model):
    guide(DualCFGGuider.execute(model, POSITIVE, MIDDLE, NEGATIVE, 4.0, 1.0, "regular")[0], steps=1)


def run_dual_nested(model):
    guide(DualCFGGuider.execute(model, POSITIVE, MIDDLE, NEGATIVE, 4.0, 3.0, "nested")[0], steps=1)


def run_dual_model(model):
    guide(DualModelGuider.execute(model, POSITIVE, 4.0, model.clone(), NEGATIVE)[0], steps=1)


def run_perp_neg(model):
    guide(PerpNegGuider.execute(model, POSITIVE, NEGATIVE, MIDDLE, 4.0, 1.0)[0], steps=1)


def run_old_perp_neg(model):
    sample(PerpNeg.execute(model, MIDDLE, 1.0)[0], steps=1)


def run_sag(model):
    sample(SelfAttentionGuidance.execute(model, 0.5, 2.0)[0], steps=1)


BOTH = {"positive": [POSITIVE], "negative": [NEGATIVE]}

GUIDERS = [
    (run_ksampler, BOTH, 2), (run_cfg_guider, BOTH, 2), (run_cfg_one, BOTH, 1), (run_basic, BOTH, 1),
    (run_dual_regular, {"positive": [POSITIVE, MIDDLE], "negative": [NEGATIVE]}, 3),
    (run_dual_one, {"positive": [POSITIVE, MIDDLE], "negative": [NEGATIVE]}, 2),
    (run_dual_nested, {"positive": [POSITIVE, MIDDLE], "negative": [NEGATIVE]}, 3),
    (run_dual_model, BOTH, 2),
    (run_perp_neg, {"positive": [POSITIVE], "negative": [NEGATIVE, MIDDLE]}, 3),
    (run_old_perp_neg, {"positive": [POSITIVE], "negative": [NEGATIVE, MIDDLE]}, 3), (run_sag, BOTH, 3),
]  # fmt: skip
