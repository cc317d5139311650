"""The key and value bank: projected once, small, and gone when it should be."""

import gc
import weakref

import pytest
import torch
from pack.ipadapter_core.adapter.key_value_bank import KeyValueBank
from pack.ipadapter_core.adapter.network import Adapter
from pack.ipadapter_core.adapter.several_references import WeightedBank
from pack.ipadapter_core.patchers.hooks.wrappers import applications_of
from pack.ipadapter_core.sampling.application import Application
from pack.ipadapter_core.sampling.strength import Strength
from pack.ipadapter_core.weights.layer_weights import LayerWeight
from pack.tests.oracles.recorded_passes import EULER, patched, picture, sample, short_adapter, short_model

import comfy.model_management

pytestmark = pytest.mark.engine

CPU = torch.device("cpu")
LAYERS = {  # (width, layers) of a true model's cross-attention, all blocks together
    "SD1.5": ((320, 5), (640, 5), (1280, 6)),
    "SDXL": ((640, 10), (1280, 60)),
}
LIMIT = {"SD1.5": 2_000_000, "SDXL": 11_000_000}


@pytest.fixture
def projections(monkeypatch):
    """How often a projector ran and how often a layer projected."""
    counts = {"tokens": 0, "layers": 0}

    def counted(name, key):
        whole = getattr(Adapter, name)

        def call(self, *given):
            counts[key] += 1
            return whole(self, *given)

        monkeypatch.setattr(Adapter, name, call)

    counted("image_tokens", "tokens")
    counted("key_value", "layers")
    return counts


def applications(model):
    return applications_of(model.model_options["transformer_options"])


def test_bank_is_projected_once_for_a_picture(projections):
    """Weight, window, mask and another branch project nothing again; another image does."""
    model = short_model()
    adapter, image = short_adapter(model), picture(2)
    patched(model, adapter, image)
    assert projections == {"tokens": 1, "layers": 7}
    for strength in (Strength(0.5), Strength(1.0, 0.2, 0.8)):
        patched(model, adapter, image, strength)
    patched(model, adapter, image, mask=torch.ones(1, 8, 8).tril())
    assert projections == {"tokens": 1, "layers": 7}
    patched(model, adapter, picture(3))
    assert projections == {"tokens": 2, "layers": 14}


def test_bank_goes_with_its_picture():
    """Nothing but the image and the patched models hold a bank."""
    model = short_model()
    adapter, image = short_adapter(model), picture(2)
    bank = weakref.ref(adapter.bank(image))
    branch = patched(model, adapter, image)
    del image
    gc.collect()
    assert bank() is not None
    del branch
    gc.collect()
    assert bank() is None


def test_bank_goes_with_its_adapter():
    """An image that outlives an adapter keeps nothing of it."""
    model, image = short_model(), picture(2)
    adapter = short_adapter(model)
    bank, network = weakref.ref(adapter.bank(image)), weakref.ref(adapter.network)
    del adapter
    gc.collect()
    assert bank() is None and network() is None


@pytest.mark.parametrize("base", LAYERS)
def test_bytes_held_at_true_size(base, capsys):
    """16 tokens in fp16: at most 2 MB for SD1.5 and 11 MB for SDXL."""
    widths = [width for width, count in LAYERS[base] for _ in range(count)]
    pairs = [tuple(torch.zeros(2, 16, width) for width in widths) for _ in range(2)]
    blocks = tuple(("input", index, 0) for index in range(len(widths)))
    application = Application(blocks, (WeightedBank(KeyValueBank(*pairs)),), tuple(LayerWeight() for _ in widths))
    application.placed(CPU, torch.float16)
    held = application.bytes_on(CPU)
    with capsys.disabled():
        print(f"\n  held while sampling, {base:5} {len(widths):2} layers, 16 tokens, fp16: {held:,} bytes")
    assert held == 2 * 2 * 16 * sum(widths) * 2 <= LIMIT[base]
    application.cleanup()
    assert application.bytes_on(CPU) == 0


def test_bytes_are_let_go_after_a_run():
    """Placed at the first step, dropped by ComfyUI's own cleanup."""
    model = short_model()
    branch = patched(model, short_adapter(model))
    held = []
    branch.set_model_sampler_post_cfg_function(
        lambda given: held.append(applications(branch)[0].bytes_on(CPU)) or given["denoised"]
    )
    sample(branch, steps=3)
    assert len(held) == 3 and held[0] == held[2] > 0
    assert applications(branch)[0].bytes_on(CPU) == 0


def test_bytes_are_let_go_after_an_interrupted_run():
    """A run that is stopped cleans up as well."""
    model = short_model()
    branch = patched(model, short_adapter(model))

    def stop(*_):
        raise comfy.model_management.InterruptProcessingException

    with pytest.raises(comfy.model_management.InterruptProcessingException):
        sample(branch, callback=stop)
    assert applications(branch)[0].bytes_on(CPU) == 0


def test_no_adapter_weight_is_loaded_for_sampling():
    """The adapter is no loaded model, its weights stay where they are."""
    model = short_model()
    adapter = short_adapter(model)
    places = [parameter.data_ptr() for parameter in adapter.network.parameters()]
    branch, loaded = patched(model, adapter), []
    called = []
    adapter.network.register_forward_pre_hook(lambda *_: called.append(1))

    def look(given):
        loaded.extend(one.model.model for one in comfy.model_management.current_loaded_models if one.model is not None)
        return given["denoised"]

    branch.set_model_sampler_post_cfg_function(look)
    sample(branch)
    assert any(one is model.model for one in loaded)
    assert not any(one is adapter.network for one in loaded)
    assert adapter.patcher.loaded_size() == 0 and not called
    assert places == [parameter.data_ptr() for parameter in adapter.network.parameters()]


def live_tensors() -> tuple[int, int]:
    gc.collect()
    found = [one for one in gc.get_objects() if type(one) is torch.Tensor]
    return len(found), sum(one.numel() * one.element_size() for one in found)


def test_memory_after_200_runs_is_as_after_10(capsys):
    """Each run applies anew, as a changed widget does. Not tried with a leak of its own."""
    model = short_model()
    adapter, image = short_adapter(model), picture(2)
    seen = {}
    for run in range(1, 201):
        weight = 0.5 + run / 400
        sample(patched(model, adapter, image, Strength(weight, 0.1, 0.9), mask=torch.ones(1, 8, 8).tril()), steps=1)
        if run in (10, 200):
            seen[run] = live_tensors()
    with capsys.disabled():
        print(f"\n  live tensors (count, bytes) after 10 runs {seen[10]}, after 200 runs {seen[200]}; sampler {EULER}")
    assert seen[10] == seen[200]
