"""Words as masks: a reference acts where the text attends to the words it belongs to, in the same pass."""

import pytest
import torch
from pack.ipadapter_core.diagnostics.attention_maps import attention_maps
from pack.ipadapter_core.diagnostics.record import record_attention
from pack.ipadapter_core.diagnostics.recording import Measure
from pack.ipadapter_core.errors import ModelMismatchError, SamplingError
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.prompt.combine import combine, weigh
from pack.ipadapter_core.prompt.words import TextTokens, bind_words
from pack.ipadapter_core.sampling import layer_call
from pack.ipadapter_core.sampling.plan import ModelCallPlan
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.families import TRANSFORMERS, world
from pack.tests.oracles.recorded_passes import (
    noise,
    picture,
    prompt_of,
    sample,
    short_adapter,
    short_model,
    text,
)
from pack.tests.oracles.words import ALL, CAT, DOG, IDS, stated, told
from pack.tools.miniature.transformers import relative

import comfy.samplers

pytestmark = pytest.mark.engine

CAT_IMAGE, DOG_IMAGE = picture(2), picture(3)
OTHER = text(1)


@pytest.fixture(scope="module")
def pair():
    """A model and an adapter."""
    model = short_model()
    return model, short_adapter(model)


def bound(image, words):
    return bind_words(prompt_of(image), words)


def run(model, positive=None, negative=OTHER, **more):
    return sample(model, conds=(positive or told(), negative), **more)


@pytest.fixture(scope="module")
def exact():
    """The same in float64."""
    model = short_model(torch.float64)
    return model, short_adapter(model, dtype=torch.float64)


@pytest.mark.parametrize(("which", "limit"), [("exact", 1e-6), ("pair", 5e-6)])
@pytest.mark.parametrize("batch", [1, 2])
def test_equals_the_published_equation(which, limit, batch, request):
    """Of two references, each with its words, in whole runs with guidance; by an independent statement in float64.

    ComfyUI keeps the latent between the steps in float32 either way.
    """
    model, adapter = request.getfixturevalue(which)
    prompt = combine([bound(CAT_IMAGE, CAT), bound(DOG_IMAGE, DOG)])
    latent = noise(batch)
    found = run(apply_image_prompt(model, adapter, prompt, Strength(0.8)), latent=latent)
    wanted = run(stated(model, adapter, [(CAT_IMAGE, CAT), (DOG_IMAGE, DOG)], 0.8), latent=latent)
    without = run(apply_image_prompt(model, adapter, prompt_of(CAT_IMAGE, DOG_IMAGE), Strength(0.8)), latent=latent)
    plain = run(model, latent=latent)
    error = relative(found - wanted, found - plain)
    print(f"{which}, {batch} images: error {error:.1e}")
    assert error < limit and relative(found - without, without - plain) > 0.05


def test_all_words_are_no_words(pair):
    """A text attends to itself everywhere."""
    model, adapter = pair
    found, wanted = (
        run(apply_image_prompt(model, adapter, prompt, Strength()))
        for prompt in (bound(CAT_IMAGE, ALL), prompt_of(CAT_IMAGE))
    )
    assert relative(found - wanted, wanted - run(model)) < 2e-5


def test_weight_0_is_no_adapter_and_references_of_the_same_words_go_together(pair):
    """Weight 0 to the bit, whatever the text; the same image twice is that image once."""
    model, adapter = pair
    silent = apply_image_prompt(model, adapter, bound(CAT_IMAGE, CAT), Strength(0.0))
    assert torch.equal(run(silent), run(model))
    assert torch.equal(run(silent, positive=text(0)), run(model, positive=text(0)))
    once, twice = bound(CAT_IMAGE, CAT), combine([bound(CAT_IMAGE, CAT)] * 2)
    one, two = (run(apply_image_prompt(model, adapter, prompt, Strength())) for prompt in (once, twice))
    assert relative(one - two, one - run(model)) < 2e-5


def test_masks_multiply_words(pair):
    """Two masks that complete one another add up, and one of zeros is no adapter."""
    model, adapter = pair
    left = (torch.arange(16) < 6).float().expand(1, 16, 16)
    whole = run(apply_image_prompt(model, adapter, bound(CAT_IMAGE, CAT), Strength()))
    halves = combine([weigh(bound(CAT_IMAGE, CAT), 1.0, mask) for mask in (left, 1 - left)])
    found = run(apply_image_prompt(model, adapter, halves, Strength()))
    assert relative(found - whole, whole - run(model)) < 2e-5
    nothing = weigh(bound(CAT_IMAGE, CAT), 1.0, torch.zeros(1, 16, 16))
    assert torch.equal(run(apply_image_prompt(model, adapter, nothing, Strength())), run(model))


def test_a_text_that_comfyui_repeats(pair, monkeypatch):
    """Beside a negative of twice its length the text is repeated, and is the same words in calls of their own."""
    model, adapter = pair
    patched = apply_image_prompt(model, adapter, bound(CAT_IMAGE, CAT), Strength())
    longer = [[torch.cat((OTHER[0][0], text(5)[0][0]), dim=1), {}]]
    together = run(patched, negative=longer)
    monkeypatch.setattr(comfy.samplers, "can_concat_cond", lambda one, other: one is other)
    apart = run(patched, negative=longer)
    assert relative(together - apart, apart - run(model, negative=longer)) < 2e-5


def test_text_that_another_node_put_behind(pair):
    """Conditioning (Concat): the words stand where they stood; a reading by the whole length would take others."""
    model, adapter = pair
    ((features, values),) = told()
    joined = [[torch.cat((features, text(6)[0][0]), dim=1), values]]
    found, wanted = (
        run(one, positive=joined)
        for one in (
            apply_image_prompt(model, adapter, bound(CAT_IMAGE, CAT), Strength()),
            stated(model, adapter, [(CAT_IMAGE, CAT)]),
        )
    )
    assert relative(found - wanted, wanted - run(model, positive=joined)) < 2e-5


def test_an_image_of_its_own_words_each(pair):
    """One reference per frame: every image of the batch as if it were alone."""
    model, adapter = pair
    latent = noise(2)
    both = combine([bound(CAT_IMAGE, CAT), bound(DOG_IMAGE, DOG)])
    found = run(apply_image_prompt(model, adapter, both, Strength(), per_frame=True), latent=latent)
    for place, (image, words) in enumerate(((CAT_IMAGE, CAT), (DOG_IMAGE, DOG))):
        alone = run(apply_image_prompt(model, adapter, bound(image, words), Strength()), latent=latent)
        assert relative(found[place] - alone[place], alone[place] - run(model, latent=latent)[place]) < 2e-5


def test_a_prompt_without_the_words_sees_nothing_of_the_reference(pair):
    """Two prompts on halves of the canvas: only the one with the words has the reference."""
    model, adapter = pair
    other = (49406, 320, 1929, 537, 320, 1929, 49407)
    areas = [{"area": (16, 8, 0, 0), "strength": 1.0}, {"area": (16, 8, 0, 8), "strength": 1.0}]
    ((one, first),), ((two, second),) = told(0), told(4, other)
    positive = [[one, first | areas[0]], [two, second | areas[1]]]
    patched = apply_image_prompt(model, adapter, bound(CAT_IMAGE, CAT), Strength())
    effect = (run(patched, positive=positive, steps=1, cfg=1.0) - run(model, positive=positive, steps=1, cfg=1.0)).abs()
    assert effect[..., 8:].max() == 0 and effect[..., :8].mean() > 1e-3


def test_without_words_no_layer_looks_at_the_text(pair, monkeypatch):
    """No work where no words are set: their mask is never made, and every layer is ready before it is called."""
    model, adapter = pair
    made, ready = [], []
    of_words, of_call = layer_call.word_mask, ModelCallPlan.made_ready
    monkeypatch.setattr(layer_call, "word_mask", lambda *given: made.append(1) or of_words(*given))
    monkeypatch.setattr(ModelCallPlan, "made_ready", lambda plan: (ready.append(of_call(plan)), ready[-1])[1])
    for prompt, layers in (
        (prompt_of(CAT_IMAGE), 7),
        (bind_words(prompt_of(CAT_IMAGE), None), 7),
        (bound(CAT_IMAGE, CAT), 0),
    ):
        made.clear(), ready.clear()
        run(apply_image_prompt(model, adapter, prompt, Strength()), steps=1)
        assert [len(plan.ready) for plan in ready] == [layers] * len(ready) and len(ready) == 1
        assert len(made) == 7 - layers


@pytest.mark.parametrize(("positive", "words"), [(text(0), "does not say where"), (told(ids=(1,) * 7), "in none of")])
def test_one_error_says_what_is_missing(pair, positive, words):
    """A text of unknown tokens; a text without the words."""
    model, adapter = pair
    with pytest.raises(SamplingError, match=words):
        run(apply_image_prompt(model, adapter, bound(CAT_IMAGE, CAT), Strength()), positive=positive)


@pytest.mark.parametrize("case", [case for case in TRANSFORMERS if "Anima" in case or "XLabs" in case])
def test_transformers_are_refused(case):
    """Their layers have no attention to the text alone, or its tokens are not CLIP's."""
    _, model, ip_adapter, prompt = world(case)
    with pytest.raises(ModelMismatchError, match="Words for Reference"):
        apply_image_prompt(model, ip_adapter, bind_words(prompt, CAT), Strength())


def test_attention_maps_show_where_the_words_are(pair):
    """What is recorded has the words' mask in it: that of all words is none, that of one takes away."""
    model, adapter = pair
    maps = []
    for words in (None, ALL, CAT):
        watched, recording = record_attention(apply_image_prompt(model, adapter, bound(CAT_IMAGE, words), Strength()))
        run(watched)
        maps.append(attention_maps(recording, Measure.SHARE, (16, 16)))
    everywhere, of_all, of_cat = maps
    assert relative(of_all - everywhere, everywhere) < 1e-5
    assert (of_cat < everywhere + 1e-6).all() and of_cat.mean() < 0.9 * everywhere.mean()


def test_places_of_words():
    """As often as they are there, phrases whole."""
    tokens = TextTokens((*IDS, 2368), 8)
    assert tokens.places(CAT) == (2, 7) and tokens.places(DOG) == (4, 5)
    assert tokens.places(CAT._replace(phrases=((2368, 537), (1929,)))) == (2, 3, 5)


def test_words_change_no_other_reference(pair):
    """A reference without words beside it acts everywhere."""
    model, adapter = pair
    both = combine([bound(CAT_IMAGE, CAT), prompt_of(DOG_IMAGE)])
    found = run(apply_image_prompt(model, adapter, both, Strength()))
    wanted = run(stated(model, adapter, [(CAT_IMAGE, CAT), (DOG_IMAGE, None)]))
    assert relative(found - wanted, wanted - run(model)) < 2e-5
