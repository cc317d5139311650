"""What a layer's call does, counted and not timed: operations, and bytes that are allocated.

The floor of `dev.py bench` is one attention and one addition in place for each adapter; nothing else may touch a tensor as
large as a query.
"""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from pack.ipadapter_core.patchers.families import unet
from pack.ipadapter_core.patchers.hooks.model_call import OVERRIDE
from pack.tools.bench import sides
from pack.tools.bench.scenes import SCENES, Scene
from pack.tools.bench.sides import Case, Machine, Ours, given
from torch.utils._python_dispatch import TorchDispatchMode

import comfy.ldm.modules.attention

pytestmark = pytest.mark.engine

MACHINE = Machine(torch.device("cpu"), torch.float32)
SMALL = {"SD1.5": Scene("SD1.5", 128, 2), "SDXL": Scene("SDXL", 256, 2), "FLUX": Scene("FLUX", 128, 1)}
ATTENTION = "_scaled_dot_product_flash_attention_for_cpu"
SWITCHES = {
    "plain": {},
    "mask": {"mask": True},
    "schedule": {"schedule": True},
    "both": {"mask": True, "schedule": True},
}


class Counted(TorchDispatchMode):
    """Operations that are no views by name, and the bytes of their results' new storages."""

    def __init__(self):
        super().__init__()
        self.operations, self.allocated = Counter(), 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if not function.is_view:
            self.operations[function._overloadpacket.__name__] += 1
            known = {one.untyped_storage().data_ptr() for one in args if isinstance(one, torch.Tensor)}
            made = [one for one in (out if isinstance(out, tuple) else (out,)) if isinstance(one, torch.Tensor)]
            fresh = [one.untyped_storage() for one in made if one.untyped_storage().data_ptr() not in known]
            self.allocated += sum(storage.nbytes() for storage in fresh)
        return out


def counted(case: Case, number: int, monkeypatch, gradients: bool = False, **options):
    """One call of a layer's hook on a finished base, after another that has everything made ready."""
    ours = Ours(case, MACHINE)
    ours.options = ours.options | options
    layer = case.scene.layers[number]
    one = given(case, layer, MACHINE)
    monkeypatch.setattr(unet, "base_attention", lambda *_: one.ready)
    work = ours.work(one)
    with torch.set_grad_enabled(gradients):
        work()
        before = one.ready.clone()
        with Counted() as counts:
            out = work()
    return counts, one, before, out


def largest(one) -> int:
    """Bytes of what an attention must return: its output, and one sum for each query and head."""
    batch, heads, length, _ = one.target.shape
    return one.target.numel() * 4 + batch * heads * length * 4


@pytest.mark.parametrize("switches", SWITCHES)
@pytest.mark.parametrize("adapters", [1, 2, 4])
@pytest.mark.parametrize("model", SMALL)
def test_operations_of_a_layer(model, adapters, switches, monkeypatch):
    """An attention and an addition in place for each adapter, and no other operation but a scheduled weight's few values."""
    case = Case(SMALL[model], 16, adapters, **SWITCHES[switches])
    for number in range(len(case.scene.layers)):
        counts, one, before, out = counted(case, number, monkeypatch)
        plain = switches == "plain"
        additions = counts.operations["add_"] if plain else counts.operations["addcmul_"]
        allowed = {ATTENTION, "add_" if plain else "addcmul_"}
        if (
            model == "FLUX"
        ):  # its base is not there yet: what several contribute is added up first, masks over text joined
            allowed |= {"mul_", "cat", "mean", "add_"}
            additions += counts.operations["add_"] * (not plain)
        assert counts.operations[ATTENTION] == adapters == additions
        assert set(counts.operations) <= allowed
        assert out.data_ptr() == one.ready.data_ptr() and not torch.equal(before, one.ready)


@pytest.mark.parametrize("switches", SWITCHES)
@pytest.mark.parametrize("model", ["SD1.5", "SDXL"])
def test_allocations_of_a_layer(model, switches, monkeypatch):
    """Nothing but what attention itself returns."""
    case = Case(SMALL[model], 16, 1, **SWITCHES[switches])
    for number in range(len(case.scene.layers)):
        counts, one, *_ = counted(case, number, monkeypatch)
        assert counts.allocated <= largest(one)


def test_allocations_of_a_batch(monkeypatch):
    """Four images of a pass share its keys: what is repeated for them is as small as the keys themselves."""
    case = Case(SMALL["SD1.5"], 16, pictures=4)
    for number, layer in enumerate(case.scene.layers):
        counts, one, *_ = counted(case, number, monkeypatch)
        keys = 2 * 8 * 16 * layer.width * 4
        assert counts.allocated <= largest(one) + 2 * keys


@pytest.mark.parametrize(
    "foreign", ["override", "replaced function", "wrapped by ComfyUI's decorator", "another hook", "gradients"]
)
def test_operations_where_others_may_hold_the_base(foreign, monkeypatch):
    """What another pack, or a backward pass, may still need is left as it is."""
    attention, options = comfy.ldm.modules.attention, {}

    def theirs(*given, **more):
        return attention.attention_pytorch(*given, **more)

    if foreign == "override":
        options = {OVERRIDE: lambda function, *given, **more: function(*given, **more)}
    elif foreign == "replaced function":
        monkeypatch.setattr(attention, "optimized_attention", theirs)
    elif foreign == "wrapped by ComfyUI's decorator":
        monkeypatch.setattr(attention, "optimized_attention", attention.wrap_attn(theirs))
    elif foreign == "another hook":
        compose = unet.compose
        held = lambda query, key, value, options: unet.base_attention(query, key, value, options)  # noqa: E731

        def around(applications, given, *rest):
            blocks = {block: held for one in applications for block in one.blocks}
            return compose(applications, given | {"patches_replace": {"attn2": blocks}}, *rest)

        monkeypatch.setattr(sides, "UNET", replace(unet.UNET, compose=around))
    gradients = foreign == "gradients"
    counts, one, before, out = counted(Case(SMALL["SD1.5"], 16, 2), 0, monkeypatch, gradients, **options)
    assert torch.equal(one.ready, before) and out.data_ptr() != one.ready.data_ptr()
    assert counts.operations["add"] == (2 if gradients else 1)
    assert counts.operations["add_"] == (0 if gradients else 1)


def test_scenes_are_the_published_models():
    """Layers by kind: SD1.5 has 16, SDXL 70, FLUX 57, with the token grids of their sizes."""
    found = {scene.name: {(one.width, one.heads, one.grid[0]): one.copies for one in scene.layers} for scene in SCENES}
    assert found == {
        "SD1.5 512": {(320, 8, 64): 5, (640, 8, 32): 5, (1280, 8, 16): 5, (1280, 8, 8): 1},
        "SD1.5 768": {(320, 8, 96): 5, (640, 8, 48): 5, (1280, 8, 24): 5, (1280, 8, 12): 1},
        "SDXL 1024": {(640, 10, 64): 10, (1280, 20, 32): 60},
        "FLUX 1024": {(3072, 24, 64): 38},
    } | {"FLUX 1024": found["FLUX 1024"]}
    assert sorted(one.copies for one in SCENES[3].layers) == [19, 38]
