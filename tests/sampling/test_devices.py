"""Dtypes, several devices at once, and torch.compile."""

import threading

import pytest
import torch
from pack.ipadapter_core.patchers.hooks.wrappers import applications_of
from pack.ipadapter_core.sampling.strength import Strength
from pack.ipadapter_core.weights.schedule import WeightSchedule
from pack.tests.oracles.compiler import Compiler
from pack.tests.oracles.recorded_passes import (
    Recorder,
    alone,
    error,
    naive_hooks,
    noise,
    patched,
    picture,
    sample,
    short_adapter,
    short_model,
    text,
)

import comfy.ldm.modules.attention
import comfy.model_patcher
import comfy.multigpu
import comfy.patcher_extension

pytestmark = pytest.mark.engine

PICTURE = picture(2)
FADE = WeightSchedule(((0.0, 0.2), (1.0, 1.0)))
DTYPES = {
    "fp32": (torch.float32, None), "fp16": (torch.float16, None), "bf16": (torch.bfloat16, None),
    "fp8 in bf16": (torch.float8_e4m3fn, torch.bfloat16), "fp8 in fp16": (torch.float8_e4m3fn, torch.float16),
    "fp16 in fp32": (torch.float16, torch.float32),
}  # fmt: skip


def model_of(dtype, cast):
    """The short model's weights stored in a dtype and cast at use to another."""
    full, model = short_model(), short_model(dtype, None, cast=cast)
    with torch.no_grad():
        for target, source in zip(model.model.parameters(), full.model.parameters(), strict=True):
            target.copy_(source)
    model.model.requires_grad_(False)
    return model


@pytest.mark.parametrize("name", DTYPES)
def test_dtypes_of_the_base_model(name, capsys):
    """The error against float64 attention is that of the base model itself, within a factor of two."""
    model = model_of(*DTYPES[name])
    adapter = short_adapter(model)
    recorder, bare = Recorder(patched(model, adapter, PICTURE)), Recorder(model)
    result, without = sample(recorder.model, steps=1), sample(bare.model, steps=1)
    own, ours = [], []
    for features, one, base in zip((PICTURE.negative, PICTURE.features), recorder.passes, bare.passes, strict=True):
        ours.append(error(one.output, alone(model, one, naive_hooks(model, adapter, features))))
        own.append(error(base.output, alone(model, base, naive_hooks(model, adapter, features, 0.0))))
    with capsys.disabled():
        print(f"\n  {name:12} error of the base model {max(own):.1e}, with us {max(ours):.1e}")
    assert result.isfinite().all() and error(result, without) > 1e-2
    assert recorder.passes[0].output.dtype == (DTYPES[name][1] or DTYPES[name][0])
    assert max(ours) <= 2 * max(own)


def test_threads_of_two_devices_share_a_patch(monkeypatch):
    """ComfyUI's multi-GPU splitting, with two models on two names of the CPU: each pass is right, and runs in its thread."""
    base, other = short_model(), short_model()
    adapter = short_adapter(base)
    recorder = Recorder(patched(base, adapter, PICTURE, Strength(schedule=FADE), mask=torch.ones(1, 8, 8)))
    devices = {torch.device("cpu"): recorder.model, torch.device("cpu", 0): other}
    names = set()

    def split(executor, *given, **more):
        guider = executor.class_obj
        guider.model_options["multigpu_clones"] = devices
        guider.model_options["multigpu_thread_pool"] = comfy.multigpu.MultiGPUThreadPool(list(devices))
        other.pre_run()
        return executor(*given, **more)

    def note(executor, *given, **more):
        names.add(threading.current_thread().name)
        return executor(*given, **more)

    recorder.model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.OUTER_SAMPLE, "test", split)
    recorder.model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.APPLY_MODEL, "test", note)
    result = sample(recorder.model)
    assert len(names) == 2 and len(recorder.passes) == 4
    monkeypatch.setattr(comfy.model_patcher.ModelPatcher, "get_free_memory", lambda *_: 0)  # a pass at a time there too
    assert torch.equal(result, sample(patched(base, adapter, PICTURE, Strength(schedule=FADE))))


def test_hooks_called_from_threads_at_once():
    """Two dtypes as two devices, at the same time, many times: what each gets is what it gets alone."""
    base = short_model()
    application = applications_of(patched(base, short_adapter(base), PICTURE).model_options["transformer_options"])[0]
    cpu, results = torch.device("cpu"), {torch.float32: [], torch.float16: []}

    def work(dtype):
        for round_ in range(50):
            if round_ % 10 == 9:
                application.cleanup()
            results[dtype].append(application.placed(cpu, dtype))

    threads = [threading.Thread(target=work, args=(dtype,)) for dtype in results for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for dtype, placed in results.items():
        assert len(placed) == 100
        alone_ = application.placed(cpu, dtype)
        for one in placed:
            assert all(torch.equal(a.key, b.key) and a.key.dtype == dtype for a, b in zip(one, alone_, strict=True))


SMALL = {"channel_mult": [1], "num_res_blocks": [1], "transformer_depth": [1], "transformer_depth_output": [1, 1]}


@pytest.fixture
def small(monkeypatch):
    """A model of four layers with PyTorch's attention, as on a GPU; the CPU's default cannot be compiled at all."""
    attention = comfy.ldm.modules.attention
    monkeypatch.setattr(attention, "optimized_attention", attention.attention_pytorch)
    torch._dynamo.reset()
    model = short_model(**SMALL)
    yield model, short_adapter(model)
    torch._dynamo.reset()


def cases(model, adapter):
    """Models of a session, one after the other, and how many new programs each may need."""
    mask = torch.ones(1, 8, 8).tril()
    return {
        "no adapter": (model, 1),
        "adapter": (patched(model, adapter, PICTURE), 1),
        "another image and weight": (patched(model, adapter, picture(4), Strength(0.3)), 0),
        "window": (patched(model, adapter, PICTURE, Strength(1.0, 0.3, 0.7)), 1),
        "schedule": (patched(model, adapter, PICTURE, Strength(schedule=FADE)), 0),
        "mask": (patched(model, adapter, PICTURE, mask=mask), 1),
        "no adapter again": (model, 0),
    }


@pytest.mark.parametrize("filtered", [True, False], ids=["guards of ComfyUI's node", "all guards"])
def test_compile_without_breaks_or_recompilation(small, filtered):
    """One program a structure, none from step to step, and the image of the uncompiled run."""
    compiler = Compiler(filtered=filtered)
    for name, (model, new) in cases(*small).items():
        expected, before = sample(model, steps=4), compiler.programs
        result = sample(compiler.apply(model), steps=4)
        assert error(result, expected) < 1e-6, name
        assert compiler.programs - before == new, name


def test_compile_when_passes_run_apart(small, monkeypatch):
    """Two passes of one shape are two programs, as they see different sides."""
    monkeypatch.setattr(comfy.model_patcher.ModelPatcher, "get_free_memory", lambda *_: 0)
    model = patched(*small, PICTURE)
    compiler = Compiler()
    assert error(sample(compiler.apply(model), steps=3), sample(model, steps=3)) < 1e-6
    assert compiler.programs == 2


def test_compile_with_areas(small):
    """A mask under two areas of one shape."""
    places = [text(0, area=(8, 8, 0, 0)), text(2, area=(8, 8, 8, 8))]
    conds = (sum(places, []), text(1))
    model = patched(*small, PICTURE, mask=torch.ones(1, 16, 16).tril())
    compiler = Compiler()
    assert error(sample(compiler.apply(model), conds=conds), sample(model, conds=conds)) < 1e-6
    assert compiler.programs <= 2


def test_compile_with_aot(small):
    """Functionalised by AOTAutograd, as inductor needs it; a schedule, a mask and two images at once."""
    from torch._dynamo.backends.debugging import aot_eager

    model = patched(*small, PICTURE, Strength(schedule=FADE), mask=torch.ones(1, 8, 8).tril())
    compiler = Compiler(aot_eager)
    result = sample(compiler.apply(model), latent=noise(2))
    assert error(result, sample(model, latent=noise(2))) < 1e-6
    assert compiler.programs == 1
