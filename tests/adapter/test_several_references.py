"""References that are attended to together: a bank for each, or, where an adapter reads several as one, for each weight."""

from dataclasses import replace

import pytest
import torch
from pack.ipadapter_core.adapter.several_references import banks_of, read_as_one
from pack.ipadapter_core.diagnostics.recording import Recording, RunNotes
from pack.ipadapter_core.diagnostics.trace import in_words, trace_of
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.hooks.wrappers import applications_of
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.families import FAMILIES, features_of, world
from pack.tools.miniature.published_faces import SDXL
from pack.tools.miniature.pulid_sdxl import stated_encoder, stated_former
from pack.tools.miniature.transformers import prompt_for, relative

pytestmark = [pytest.mark.engine, pytest.mark.adapters]

V1, V1_1 = "UNet PuLID v1", "UNet PuLID v1.1"


def references_of(case, *weights):
    """References with a face each."""
    faces = [features_of(case, 8 + number) for number in range(len(weights))]
    given = prompt_for(world(case).adapter, *faces).references
    return tuple(replace(one, weight=weight) for one, weight in zip(given, weights, strict=True))


@pytest.mark.parametrize("case", ["UNet base", V1, V1_1, "FLUX PuLID", "Anima PE-Core"])
def test_a_bank_for_each_where_they_are_apart(case):
    """One for each image of a batch, whatever the adapter does with several."""
    adapter, given = world(case).adapter, references_of(case, 1.0, 0.5, 1.0)
    found = banks_of(adapter, given, apart=True)
    assert [(one.weight, one.place) for one in found] == [(1.0, 0), (0.5, 1), (1.0, 2)]
    assert all(one.bank is adapter.bank(reference.image) for one, reference in zip(found, given, strict=True))


def test_v1_takes_all_of_the_first_and_the_identity_of_the_others():
    """Their first five tokens, in the negative as well."""
    adapter, given = world(V1).adapter, references_of(V1, 1.0, 0.5)
    first, second = banks_of(adapter, given, apart=False)
    assert (first.bank.tokens, second.bank.tokens) == (10, 5) and (second.weight, second.place) == (0.5, 1)
    whole = adapter.bank(given[1].image)
    assert torch.equal(second.bank.keys[0], whole.keys[0][:, :5])
    assert torch.equal(second.bank.values[-1], whole.values[-1][:, :5])


def test_v1_1_reads_images_of_one_weight_as_one():
    """The first and the third together; the second beside them with its own weight."""
    adapter, given = world(V1_1).adapter, references_of(V1_1, 1.0, 0.5, 1.0)
    found = banks_of(adapter, given, apart=False)
    assert [(one.weight, one.place, one.bank.tokens) for one in found] == [(1.0, 0, 6), (0.5, 1, 6)]
    assert found[1].bank is adapter.bank(given[1].image)
    weights = FAMILIES[V1_1].weights()
    tokens = stated_former(weights, [given[0].image.features, given[2].image.features])[0]
    wanted = tokens @ weights["id_adapter_attn_layers.1.id_to_v.weight"].double().T
    assert relative(found[0].bank.values[0][1] - wanted, wanted) < 5e-6
    alone = adapter.bank(given[0].image)
    assert (
        relative(found[0].bank.values[0][0] - alone.values[0][0], alone.values[0][0]) < 5e-6
    )  # the negative is one nobody
    assert read_as_one([given[0].image]) is given[0].image


def test_the_projectors_equal_the_equations(capsys):
    """Both releases, a batch as a loop."""
    for case, stated in ((V1, stated_encoder), (V1_1, lambda weights, one: stated_former(weights, [one]))):
        both = tuple(torch.cat(pair) for pair in zip(features_of(case, 8), features_of(case, 9), strict=True))
        with torch.no_grad():
            found = world(case).adapter.network.image_tokens(both)
        wanted = stated(FAMILIES[case].weights(), both)
        error = relative(found - wanted, wanted)
        with capsys.disabled():
            print(f"\n  {case}: projector error {error:.1e}")
        assert found.shape == wanted.shape and error <= 5e-6


def test_the_trace_counts_tokens_where_they_are():
    """Of references that are read as one the first has them; the method is noted."""
    _, model, adapter, prompt = world(V1_1)
    given = prompt.with_references(references_of(V1_1, 1.0, 0.5, 1.0))
    patched = apply_image_prompt(model, adapter, given, Strength(zero_tokens=3))
    recording = Recording()
    (application,) = applications_of(patched.model_options["transformer_options"])
    recording.begin(RunNotes((1.0, 0.0), (application,), ((0,),)))
    trace = trace_of(recording)
    (noted,) = trace["applications"]
    assert [one["tokens"] for one in noted["references"]] == [6, 6, 0]
    assert (noted["zero_tokens"], noted["projection"]) == (3, "v2")
    assert "3 references, 12 tokens" in in_words(trace)


@pytest.mark.parametrize(("case", "people", "tokens"), [(V1, 1, 10), (V1, 2, 15), (V1_1, 1, 6), (V1_1, 2, 6)])
def test_what_a_run_holds(case, people, tokens):
    """Keys and values, positive and negative; empty tokens take no place. At SDXL's sizes that is 21.3 MB for v1.1."""
    _, model, adapter, prompt = world(case)
    given = prompt.with_references(references_of(case, *[1.0] * people))
    (application,) = applications_of(
        apply_image_prompt(model, adapter, given, Strength()).model_options["transformer_options"]
    )
    cpu = torch.device("cpu")
    application.placed(cpu, torch.float16)
    assert application.bytes_on(cpu) == _held([layer.width for layer in adapter.spec.layers], tokens)
    assert [round(_held(SDXL, count) / 1e6, 1) for count in (32, 10, 5)] == [21.3, 6.7, 3.3]


def _held(widths, tokens):
    return sum(widths) * tokens * 2 * 2 * 2
