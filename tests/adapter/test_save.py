"""Saved adapters: the published keys, and through diffusers' own `load_ip_adapter` what they do through us."""

import errno
import json

import pytest
import torch
from diffusers.loaders.ip_adapter import FluxIPAdapterMixin, IPAdapterMixin, SD3IPAdapterMixin
from pack.ipadapter_core.adapter import whole_file
from pack.ipadapter_core.adapter.load import load_adapter
from pack.ipadapter_core.adapter.save import FileDtype, save_adapter
from pack.ipadapter_core.checkpoint.headers import read_header
from pack.ipadapter_core.errors import TrainingError
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.families.unet import compose
from pack.ipadapter_core.patchers.hooks.wrappers import STEP, applications_of
from pack.ipadapter_core.sampling.run import Run
from pack.ipadapter_core.sampling.strength import Strength
from pack.ipadapter_core.training.train import train_adapter
from pack.tests.oracles.diffusers import fresh, run_ours, run_theirs, some_call, twins
from pack.tests.oracles.transformer_twins import flux_theirs, flux_twins, sd3_theirs, sd3_twins
from pack.tools.miniature.models import adapter_weights, widths_of
from pack.tools.miniature.training import TRAININGS, FewExamples, short
from pack.tools.miniature.transformers import (
    SD3,
    adapter,
    instantx_flux,
    instantx_sd3,
    lucifer,
    noise,
    perceiver,
    predict,
    prompt_for,
    relative,
    weights_of,
    xlabs,
)
from pack.tools.miniature.transformers import some_call as transformer_call

pytestmark = [pytest.mark.engine, pytest.mark.training]
LIMIT = 5e-6
FILES = {
    "XLabs": xlabs(2, 256, 64),
    "InstantX FLUX": instantx_flux(5, 256, 64),
    "InstantX SD3.5": instantx_sd3(3, 192),
    "LuciferTC": lucifer(3, 128),
    "PE-Core": perceiver(3, 128),
}


def pipeline(mixin, **parts):
    """As much of a diffusers pipeline as its loader looks at."""
    return type("Pipeline", (mixin,), parts | {"unet_name": "unet"})()


def trained(model, weights, case, folder):
    """A file of an adapter that has learned a little on a model, and what is loaded from it."""
    made = train_adapter(model, adapter(weights), FewExamples(TRAININGS[case]), short(3)).adapter
    save_adapter(made, folder / "own.safetensors", FileDtype.FP32)
    loaded = load_adapter(str(folder / "own.safetensors"))
    assert all(torch.equal(one, made.network.state_dict()[name]) for name, one in loaded.network.state_dict().items())
    assert any(not torch.equal(one, adapter(weights).network.state_dict()[name])
               for name, one in loaded.network.state_dict().items())  # fmt: skip
    return loaded


@pytest.mark.parametrize("kind", ["base", "plus"])
@pytest.mark.parametrize("base", ["SD1.5", "SDXL"])
def test_a_trained_adapter_in_diffusers_unets(base, kind, tmp_path):
    """At most 5e-6 of the effect between diffusers, which loads the file itself, and us."""
    pair = twins(base)
    fresh(pair)
    call = some_call(base, 2)
    weights = adapter_weights(kind, widths_of(pair.ours), call.text.shape[-1])
    loaded = trained(pair.ours, weights, f"SDXL {kind}" if base == "SDXL" else f"SD1.5 {kind}", tmp_path)
    negative, positive = noise(2, *((64,) if kind == "base" else (9, 64)), seed=9).split(1)
    plain = run_theirs(pair, call)
    pipeline(IPAdapterMixin, unet=pair.theirs).load_ip_adapter(
        str(tmp_path), subfolder="", weight_name="own.safetensors", low_cpu_mem_usage=False
    )
    for processor in pair.theirs.attn_processors.values():
        if hasattr(processor, "scale"):
            processor.scale = [0.8]
    theirs = run_theirs(pair, call, [torch.cat((negative, positive))[:, None]])
    model = apply_image_prompt(pair.ours, loaded, prompt_for(loaded, positive, negative=negative), Strength(0.8))
    options = dict(model.model_options["transformer_options"]) | {"cond_or_uncond": [1, 0], "sigmas": call.timestep}
    step = Run().step([[], []], call.latent[:1], call.timestep, applications_of(options))
    ours = run_ours(pair, call, compose(applications_of(options), options | {STEP: step}, Run()))
    assert relative(theirs - plain, plain) > 0.05 and relative(ours - theirs, theirs - plain) <= LIMIT


def test_a_trained_adapter_in_diffusers_flux(tmp_path):
    """The file has XLabs' keys."""
    theirs, ours = flux_twins()
    call = transformer_call("FLUX")
    loaded = trained(ours, weights_of(xlabs(2, 256, 64)), "FLUX XLabs", tmp_path)
    negative, positive = noise(2, 48, seed=8).split(1)
    plain = flux_theirs(theirs, call)
    pipeline(FluxIPAdapterMixin, transformer=theirs).load_ip_adapter(
        str(tmp_path), "own.safetensors", low_cpu_mem_usage=False
    )
    for processor in theirs.attn_processors.values():
        processor.scale = [0.8]
    wanted = flux_theirs(theirs, call, [torch.cat((negative, positive))[:, None]])
    model = apply_image_prompt(ours, loaded, prompt_for(loaded, positive, negative=negative), Strength(0.8))
    assert relative(wanted - plain, plain) > 0.05
    assert relative(predict(model, call) - wanted, wanted - plain) <= LIMIT


def test_a_trained_adapter_in_diffusers_sd3(tmp_path):
    """The resampler, its time embedding and the layers' norms included."""
    theirs, ours = sd3_twins()
    call = transformer_call("SD3")
    loaded = trained(ours, weights_of(instantx_sd3(SD3["depth"], 192)), "SD3.5 InstantX", tmp_path)
    negative, positive = noise(2, 9, 48, seed=8).split(1)
    plain = sd3_theirs(theirs, call)
    pipeline(SD3IPAdapterMixin, transformer=theirs).load_ip_adapter(
        str(tmp_path), "own.safetensors", subfolder="", low_cpu_mem_usage=False
    )
    for processor in theirs.attn_processors.values():
        processor.scale = 0.8
    wanted = sd3_theirs(theirs, call, torch.cat((negative, positive)))
    model = apply_image_prompt(ours, loaded, prompt_for(loaded, positive, negative=negative), Strength(0.8))
    assert relative(wanted - plain, plain) > 0.05
    assert relative(predict(model, call) - wanted, wanted - plain) <= LIMIT


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_the_published_keys(name, tmp_path):
    """Loaded and saved again it has each tensor under its own name, to the bit, and is the same kind of adapter."""
    weights = weights_of(FILES[name])
    given = adapter(weights)
    save_adapter(given, tmp_path / "again.safetensors", FileDtype.FP32)
    again = load_adapter(str(tmp_path / "again.safetensors"))
    assert set(read_header(tmp_path / "again.safetensors").tensors) == set(weights)
    assert again.spec.format == given.spec.format and again.spec.layers == given.spec.layers
    assert all(torch.equal(one, again.lora[key]) for key, one in given.lora.items())


def test_the_metadata_says_what_it_is(tmp_path):
    """Kind, encoder, what its training noted, and the user's own words."""
    given = adapter(weights_of(FILES["XLabs"]))
    given.record.update(training_steps="12")
    save_adapter(given, tmp_path / "a.safetensors", FileDtype.FP16, {"license": "ours alone"})
    header = read_header(tmp_path / "a.safetensors")
    assert {tensor.dtype for tensor in header.tensors.values()} == {"F16"}
    assert header.metadata["license"] == "ours alone" and header.metadata["training_steps"] == "12"
    assert "XLabs" in header.metadata["adapter"] and json.loads(header.metadata["image_tokens"]) == 4


def test_others_may_read_it_as_any_new_file(tmp_path):
    """A server's files are read by more than the user that it runs as; safetensors' own are closed to everybody else."""
    (tmp_path / "any").touch()
    save_adapter(adapter(weights_of(FILES["XLabs"])), tmp_path / "a.safetensors", FileDtype.FP16)
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "any").stat().st_mode


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    """What is in the way of a file is said, and no half of one is there."""

    def no_room(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(whole_file, "save_file", no_room)
    with pytest.raises(TrainingError, match="No space left on device"):
        save_adapter(adapter(weights_of(FILES["XLabs"])), tmp_path / "a.safetensors", FileDtype.FP16)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), 1e6])
def test_numbers_that_do_not_fit_are_refused(value, tmp_path):
    """Rather than written as infinity."""
    weights = weights_of(FILES["XLabs"])
    given = adapter(weights)
    with torch.no_grad():
        given.network.image_proj.norm.bias[0] = value
    with pytest.raises(TrainingError, match="beyond 65504"):
        save_adapter(given, tmp_path / "a.safetensors", FileDtype.FP16)
