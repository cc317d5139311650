"""The published transformer adapters by their keys and shapes, on the meta device, and what is wrong with damaged ones."""

import pytest
import torch
from pack.ipadapter_core.adapter.load import load_adapter
from pack.ipadapter_core.adapter.network import Adapter
from pack.ipadapter_core.checkpoint.detect import detect
from pack.ipadapter_core.checkpoint.layouts import canonical
from pack.ipadapter_core.checkpoint.spec import BaseModel, Feature, LayerKind, Negative
from pack.ipadapter_core.errors import CheckpointError
from pack.tools.miniature.published_transformers import FILES
from pack.tools.miniature.transformers import instantx_sd3, lucifer, perceiver, weights_of, xlabs
from safetensors.torch import save_file

pytestmark = pytest.mark.dit

LUCIFER_BYTES = 503_229_576
WANTED = {
    "XLabs v1": (BaseModel.FLUX, LayerKind.BIASED, Feature.POOLED, Negative.BLACK_PICTURE, 4, 19),
    "XLabs v2": (BaseModel.FLUX, LayerKind.BIASED, Feature.POOLED, Negative.BLACK_PICTURE, 16, 19),
    "InstantX FLUX": (BaseModel.FLUX, LayerKind.NORMED_KEY, Feature.ATTENTION_POOLED, Negative.ZERO_FEATURES, 128, 57),
    "InstantX SD3.5": (BaseModel.SD35_LARGE, LayerKind.JOINT, Feature.HIDDEN, Negative.ZERO_FEATURES, 64, 38),
    "PuLID FLUX": (BaseModel.FLUX, LayerKind.OWN, Feature.IDENTITY_AND_STATES, Negative.ZERO_FEATURES, 32, 20),
    "Lynx lite": (BaseModel.WAN, LayerKind.WIDE_NORM, Feature.IR_SE50, Negative.ZERO_FEATURES, 16, 20),
    "Lynx full": (BaseModel.WAN, LayerKind.MODEL_NORM, Feature.IR_SE50, Negative.ZERO_FEATURES, 16, 40),
    "LuciferTC": (BaseModel.ANIMA, LayerKind.GATED, Feature.LAST, Negative.ZERO_FEATURES, 0, 28),
    "InstantCharacter": (BaseModel.FLUX, LayerKind.OWN_NORMS, Feature.TWO_SCALES, Negative.REFERENCE, 1024, 57),
    "Anima PE-Core": (BaseModel.ANIMA, LayerKind.SCALED, Feature.PERCEPTION, Negative.REFERENCE, 16, 28),
}


def spec_of(shapes):
    return detect({canonical(key): shape for key, shape in shapes.items()}, "some.safetensors")


@pytest.mark.parametrize("name", FILES)
def test_published_files(name):
    """Every size, the network's own keys, and the count of parameters."""
    shapes, millions = FILES[name]
    spec = spec_of(shapes)
    projector = spec.projector
    found = (spec.base, spec.layer_kind, projector.feature, projector.negative, projector.tokens, len(spec.layers))
    assert found == WANTED[name]
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) / 1e6 == pytest.approx(millions, abs=0.06)
    network = Adapter(spec, torch.nn, device="meta")
    own = {canonical(key): shape for key, shape in shapes.items() if not key.startswith("lora.")}
    assert {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()} == own


def test_anima_file_to_the_byte():
    """In bfloat16 the published size less the tensors is the header, 93 kB."""
    shapes, _ = FILES["LuciferTC"]
    header = LUCIFER_BYTES - 2 * sum(torch.Size(shape).numel() for shape in shapes.values())
    assert 80_000 < header < 110_000


@pytest.mark.parametrize(
    ("name", "lost", "message"),
    [
        (
            "XLabs v1",
            "double_blocks.7.processor.ip_adapter_double_stream_k_proj.bias",
            "ip_adapter.7.to_k_ip.bias are missing",
        ),
        ("InstantX FLUX", "ip_adapter.0.to_v_ip.weight", "ip_adapter.0.to_v_ip.weight are missing"),
        ("InstantX SD3.5", "image_proj.time_embedding.linear_1.weight", "unknown image projector"),
        ("LuciferTC", "blocks.3.adaln_ip.1.weight", "ip_adapter.3.gate.weight are missing"),
        ("Anima PE-Core", "ip_gate.9", "ip_adapter.9.ip_gate are missing"),
        ("Anima PE-Core", "ip_centroid", "unknown image projector"),
        ("InstantCharacter", "ip_adapter.5.norm_ip_q.scale", "ip_adapter.5.norm_ip_q.scale are missing"),
        ("InstantCharacter", "image_proj.resampler.latents", "unknown image projector"),
        ("PuLID FLUX", "pulid_ca.3.norm2.bias", "ip_adapter.3.norm2.bias are missing"),
        ("PuLID FLUX", "pulid_encoder.proj_out", "unknown image projector"),
        ("Lynx lite", "7.to_k_ip.weight", "ip_adapter.7.cross.to_k_ip.weight are missing"),
        ("Lynx full", "7.registers", "ip_adapter.7.cross.registers are missing"),
        ("Lynx full", "image_proj.latents", "unknown image projector"),
    ],
)
def test_damaged_files(name, lost, message):
    """A lost key is named."""
    shapes = dict(FILES[name][0])
    del shapes[lost]
    with pytest.raises(CheckpointError, match=message):
        spec_of(shapes)


@pytest.mark.parametrize(
    "extra", ["ip_adapter.0.to_z_ip.weight", "null_tokens", "shared_ip_k_proj.expand.weight", "lora.x.y"]
)
def test_kinds_that_are_not_supported(extra):
    """Other variants of Anima's adapter hold keys that change what it computes: they are refused, not half read."""
    with pytest.raises(CheckpointError, match="unknown keys"):
        spec_of(FILES["LuciferTC"][0] | {extra: (4, 4)})


@pytest.mark.parametrize(
    ("option", "known", "other"),
    [
        ("ip_norm_keys", "False", "True"), ("ip_inject_before_mlp", "False", "True"), ("ss_resampler_heads", "8", "16"),
        ("ss_ip_scale", "1.0", "0.7"), ("ss_pe_lora_enabled", "False", "True"),
    ],
)  # fmt: skip
def test_options_that_leave_no_trace_in_the_tensors(option, known, other, tmp_path):
    """Trainers for Anima write them into the metadata; the values that we compute are as good as not there."""
    shapes = perceiver(2, 128) if option.startswith("ss_") else lucifer(2, 128)
    weights, path = weights_of(shapes), tmp_path / "anima.safetensors"
    save_file(weights, path, metadata={option: known})
    assert load_adapter(str(path)).spec.base is BaseModel.ANIMA
    save_file(weights, path, metadata={option: other})
    with pytest.raises(CheckpointError, match=f"anima.safetensors: trained with {option} {other}"):
        load_adapter(str(path))


def test_files_from_disk(tmp_path):
    """A nested .bin as InstantX publishes it, and XLabs' flat safetensors; every tensor arrives under its own name."""
    flat = weights_of(instantx_sd3(2, 128))
    nested = {part: {key.removeprefix(f"{part}."): tensor for key, tensor in flat.items() if key.startswith(part)}
              for part in ("image_proj", "ip_adapter")}  # fmt: skip
    torch.save(nested, tmp_path / "sd3.bin")
    loaded = load_adapter(str(tmp_path / "sd3.bin")).network.state_dict()
    assert loaded.keys() == flat.keys() and all(torch.equal(loaded[key], flat[key]) for key in flat)
    save_file(weights_of(xlabs(2, 128, 64)), tmp_path / "xlabs.safetensors")
    adapter = load_adapter(str(tmp_path / "xlabs.safetensors"))
    text = adapter.spec.describe()
    assert text.startswith("FLUX.1, XLabs") and "4 image tokens" in text
