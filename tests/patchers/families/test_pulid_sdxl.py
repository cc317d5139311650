"""PuLID v1 and v1.1 on SDXL against their published equations, stated in float64 inside diffusers' own UNet."""

import pytest
import torch
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.families.unet import compose
from pack.ipadapter_core.patchers.hooks.wrappers import STEP, applications_of
from pack.ipadapter_core.sampling.identity_method import IdentityMethod
from pack.ipadapter_core.sampling.run import Run
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.diffusers import fresh, relative, run_ours, run_theirs, some_call, twins
from pack.tools.miniature.models import widths_of
from pack.tools.miniature.pulid import face_features, part_of
from pack.tools.miniature.pulid_sdxl import (
    Stated,
    pulid_v1,
    pulid_v1_1,
    stated_addition,
    stated_encoder,
    stated_former,
)
from pack.tools.miniature.transformers import adapter, prompt_for, weights_of
from torch.nn.functional import scaled_dot_product_attention

pytestmark = [pytest.mark.adapters, pytest.mark.faces]

WEIGHT, CONTEXT = 0.8, 96
CASES = (("SD1.5", torch.float32, 5e-6), ("SDXL", torch.float64, 1e-9))
SHAPES = {"v1": pulid_v1, "v1.1": pulid_v1_1}
PUBLISHED = {  # app.py and app_v1_1.py of ToTheBeginning/PuLID
    ("v1", IdentityMethod.FIDELITY): (8, "v2"),
    ("v1", IdentityMethod.STYLE): (16, "v1"),
    ("v1", IdentityMethod.NEUTRAL): (0, "none"),
    ("v1.1", IdentityMethod.FIDELITY): (20, "v2"),
    ("v1.1", IdentityMethod.STYLE): (20, "v1"),
    ("v1.1", IdentityMethod.NEUTRAL): (0, "none"),
}


class StatedProcessor:
    """A cross-attention of diffusers' with PuLID beside it: tokens (negative, positive), (2, N, C), for a batch of two."""

    def __init__(self, part, tokens, how):
        self.part, self.tokens, self.how = part, tokens, how

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **_):
        query = attn.to_q(hidden_states)
        key, value = attn.to_k(encoder_hidden_states), attn.to_v(encoder_hidden_states)
        rows = (one.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for one in (query, key, value))
        text = scaled_dot_product_attention(*rows).transpose(1, 2).flatten(2)
        own = (self.tokens @ self.part[f"id_to_{which}.weight"].T for which in "kv")
        added = stated_addition(query, text, *own, attn.heads, self.how)
        return attn.to_out[0]((text.double() + added).to(text))


def stated(pair, weights, tokens, how, call):
    """diffusers' UNet with PuLID in every cross-attention, by the file's numbers."""
    fresh(pair)
    plain = dict(pair.theirs.attn_processors)
    processors = dict(plain)
    for number, name in enumerate(processors):
        if name.endswith("attn2.processor"):
            part = part_of(weights, f"id_adapter_attn_layers.{number}.")
            processors[name] = StatedProcessor(part, tokens, how)
    pair.theirs.set_attn_processor(processors)
    try:
        return run_theirs(pair, call)
    finally:
        pair.theirs.set_attn_processor(plain)


def patched(pair, ip_adapter, prompt, strength, call):
    """Our prediction, negative and positive image in one batch."""
    model = apply_image_prompt(pair.ours, ip_adapter, prompt, strength)
    options = dict(model.model_options["transformer_options"]) | {"cond_or_uncond": [1, 0], "sigmas": call.timestep}
    step = Run().step([[], []], call.latent[:1], call.timestep, applications_of(options))
    return run_ours(pair, call, compose(applications_of(options), options | {STEP: step}, Run()))


def tokens_of(release, weights, faces):
    """Negative and positive tokens (2, N, C): of v1 all ten of the first face and the first five of every other."""
    nobody = [torch.zeros_like(part) for part in faces[0]]
    if release == "v1.1":
        return torch.cat((stated_former(weights, [nobody]), stated_former(weights, faces)))
    both = [[stated_encoder(weights, one)[:, : None if not n else 5] for n, one in enumerate(side)]
            for side in ([nobody] * len(faces), faces)]  # fmt: skip
    return torch.cat([torch.cat(side, 1) for side in both])


def compare(base, dtype, release, strength, stated_as, people):
    """Error over effect, and effect over what it acts on."""
    pair = twins(base, dtype)
    fresh(pair)
    call = some_call(base, 2, dtype)
    weights = {key: one.to(dtype) for key, one in weights_of(SHAPES[release](widths_of(pair.ours), CONTEXT)).items()}
    faces = [tuple(part.to(dtype) for part in face_features(8 + number)) for number in range(people)]
    ip_adapter = adapter(weights)
    wanted = stated(pair, weights, tokens_of(release, weights, faces), Stated(WEIGHT, *stated_as), call)
    ours = patched(pair, ip_adapter, prompt_for(ip_adapter, *faces), strength, call)
    plain = run_theirs(pair, call)
    return relative(ours - wanted, wanted - plain), relative(wanted - plain, plain)


def check(title, release, strength, stated_as, people, capsys):
    """In float32 with sixteen layers; of SDXL's seventy the UNets' own rounding alone is 5e-6 there, so they are in float64."""
    for base, dtype, limit in CASES:
        error, effect = compare(base, dtype, release, strength, stated_as, people)
        with capsys.disabled():
            print(
                f"\n  {title:26} {base:6} {str(dtype).removeprefix('torch.'):8} effect {effect:.2f}  error {error:.1e}"
            )
        assert effect > 0.02 and error <= limit


@pytest.mark.parametrize(("release", "method"), PUBLISHED)
def test_each_method_equals_the_published_attention(release, method, capsys):
    """Positive and negative in a batch; the negative is the encoder's own nobody, under the same method."""
    check(f"PuLID {release} {method.value}", release, Strength(WEIGHT, method=method), PUBLISHED[release, method], 1,
          capsys)  # fmt: skip


@pytest.mark.parametrize("release", SHAPES)
def test_any_number_of_zeros(release, capsys):
    """Given by hand in place of the method's; without a projection, too."""
    for method, projection in ((IdentityMethod.FIDELITY, "v2"), (IdentityMethod.NEUTRAL, "none")):
        strength = Strength(WEIGHT, method=method, zero_tokens=3)
        check(f"PuLID {release} 3 zeros {projection}", release, strength, (3, projection), 1, capsys)


@pytest.mark.parametrize("release", SHAPES)
def test_several_images_of_a_person(release, capsys):
    """v1.1 reads them as one; of v1 the first is the main one, of the others the identity is taken."""
    check(
        f"PuLID {release} 3 images", release, Strength(WEIGHT), PUBLISHED[release, IdentityMethod.FIDELITY], 3, capsys
    )
