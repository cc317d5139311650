"""XLabs' FLUX adapter and InstantX' SD3.5 adapter: the same weights through diffusers and through us."""

import pytest
import torch
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.transformer_twins import flux_theirs, flux_twins, sd3_theirs, sd3_twins
from pack.tools.miniature.transformers import (
    SD3,
    adapter,
    instantx_sd3,
    noise,
    predict,
    prompt_for,
    relative,
    some_call,
    weights_of,
    xlabs,
)

pytestmark = pytest.mark.dit

LIMIT = 5e-6


def report(capsys, name, base, effect, error):
    with capsys.disabled():
        print(f"\n  {name:16} base {base:.1e}  effect {effect:.2f}  error {error:.1e}")


def nested(ip_adapter):
    """An adapter's weights as diffusers takes them."""
    parts = {"image_proj": {}, "ip_adapter": {}}
    for key, tensor in ip_adapter.network.state_dict().items():
        part, name = key.split(".", 1)
        parts[part][name] = tensor.clone()
    return parts


def test_xlabs_equals_diffusers(capsys):
    """A negative and a positive image in one batch."""
    theirs, ours = flux_twins()
    call = some_call("FLUX")
    ip_adapter = adapter(weights_of(xlabs(2, 256, 64)))
    positive, negative = noise(1, 48, seed=8), noise(1, 48, seed=9)
    plain = flux_theirs(theirs, call)
    base = relative(predict(ours, call) - plain, plain)
    theirs._load_ip_adapter_weights([nested(ip_adapter)], low_cpu_mem_usage=False)
    for processor in theirs.attn_processors.values():
        processor.scale = [0.8]
    wanted = flux_theirs(theirs, call, [torch.cat((negative, positive))[:, None]])
    model = apply_image_prompt(ours, ip_adapter, prompt_for(ip_adapter, positive, negative=negative), Strength(0.8))
    error = relative(predict(model, call) - wanted, wanted - plain)
    report(capsys, "FLUX.1 XLabs", base, relative(wanted - plain, plain), error)
    assert error <= LIMIT
    assert relative(wanted - plain, plain) > 0.05


def test_instantx_sd3_equals_diffusers(capsys):
    """A negative and a positive image in one batch, the resampler included."""
    theirs, ours = sd3_twins()
    call = some_call("SD3")
    ip_adapter = adapter(weights_of(instantx_sd3(SD3["depth"], 192)))
    positive, negative = noise(1, 9, 48, seed=8), noise(1, 9, 48, seed=9)
    plain = sd3_theirs(theirs, call)
    base = relative(predict(ours, call) - plain, plain)
    theirs._load_ip_adapter_weights(nested(ip_adapter), low_cpu_mem_usage=False)
    for processor in theirs.attn_processors.values():
        processor.scale = 0.8
    wanted = sd3_theirs(theirs, call, torch.cat((negative, positive)))
    model = apply_image_prompt(ours, ip_adapter, prompt_for(ip_adapter, positive, negative=negative), Strength(0.8))
    error = relative(predict(model, call) - wanted, wanted - plain)
    report(capsys, "SD3.5 InstantX", base, relative(wanted - plain, plain), error)
    assert error <= LIMIT
    assert relative(wanted - plain, plain) > 0.05
