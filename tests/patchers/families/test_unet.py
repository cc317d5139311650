"""The same weights through diffusers and through us: SD1.5 and SDXL, every projector, every layer."""

import pytest
import torch
from pack.ipadapter_core.checkpoint.spec import Feature
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.families import unet
from pack.ipadapter_core.patchers.families.unet import compose
from pack.ipadapter_core.patchers.hooks.wrappers import STEP, applications_of
from pack.ipadapter_core.prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from pack.ipadapter_core.sampling.run import Run
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.diffusers import fresh, relative, run_ours, run_theirs, some_call, twins
from pack.tests.oracles.projector_kinds import FEATURES, KINDS, nested
from pack.tools.miniature.models import adapter_weights, managed, widths_of

pytestmark = pytest.mark.engine


def prompt_of(positive, negative, kind):
    feature = Feature.POOLED if kind == "base" else Feature.HIDDEN
    return ImagePrompt((Reference(EncodedImage(positive, negative)),), feature, "a test")


def step_options(model, call, passes=(1, 0)):
    """What the layers see inside a model call of one image for each pass."""
    options = dict(model.model_options["transformer_options"]) | {
        "cond_or_uncond": list(passes),
        "sigmas": call.timestep,
    }
    applications = applications_of(options)
    step = Run().step([[], []], call.latent[:1], call.timestep, applications)
    return compose(applications, options | {STEP: step}, Run())


def compare(base, kind, dtype, weight=0.8):
    """Base agreement, effect over base, and error over effect, on a negative and a positive image in one batch."""
    pair = twins(base, dtype)
    fresh(pair)
    call = some_call(base, 2, dtype)
    weights = adapter_weights(kind, widths_of(pair.ours), call.text.shape[-1], **KINDS[kind])
    generator = torch.Generator().manual_seed(9)
    positive, negative = (torch.randn(1, *FEATURES[kind], generator=generator).to(dtype) for _ in range(2))

    plain_theirs, plain_ours = run_theirs(pair, call), run_ours(pair, call)
    pair.theirs._load_ip_adapter_weights([nested(weights)], low_cpu_mem_usage=False)
    pair.theirs.to(dtype)
    for processor in pair.theirs.attn_processors.values():
        if hasattr(processor, "scale"):
            processor.scale = [weight]
    theirs = run_theirs(pair, call, [torch.stack((negative, positive))])

    model = apply_image_prompt(
        pair.ours, managed(weights, dtype), prompt_of(positive, negative, kind), Strength(weight)
    )
    ours = run_ours(pair, call, step_options(model, call))
    effect = theirs - plain_theirs
    return {
        "base": relative(plain_ours - plain_theirs, plain_theirs),
        "effect": relative(effect, plain_theirs),
        "error": relative(ours - theirs, effect),
    }


@pytest.mark.parametrize("base", ["SD1.5", "SDXL"])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_diffusers_in_float32(base, kind, capsys):
    """At most 5e-6 of the effect, with the base models' own agreement shown beside it."""
    result = compare(base, kind, torch.float32)
    with capsys.disabled():
        print(
            f"\n  {base:6} {kind:9} base {result['base']:.1e}  effect {result['effect']:.2f}  error {result['error']:.1e}"
        )
    assert result["effect"] > 0.05
    assert result["error"] <= 5e-6


@pytest.mark.parametrize("base", ["SD1.5", "SDXL"])
def test_equals_diffusers_in_float64(base):
    """At most 1e-9 of the effect where rounding is out of the way."""
    assert compare(base, "plus", torch.float64)["error"] <= 1e-9


@pytest.mark.parametrize("base", ["SD1.5", "SDXL"])
def test_the_middle_block_counts(base, monkeypatch):
    """Without the middle block the comparison fails by orders of magnitude."""
    whole = unet._hooks

    def without_middle(*given):
        slots, hooks = whole(*given)
        return slots, {block: hook for block, hook in hooks.items() if block[0] != "middle"}

    monkeypatch.setattr(unet, "_hooks", without_middle)
    assert compare(base, "plus", torch.float32)["error"] > 1e-3
