"""The face, style and instruction formats are told by structure, at the sizes of the published files."""

import pytest
import torch
from pack.ipadapter_core.adapter.network import Adapter
from pack.ipadapter_core.checkpoint.detect import detect
from pack.ipadapter_core.checkpoint.key_names import canonical_names
from pack.ipadapter_core.errors import CheckpointError
from pack.tools.miniature.published_faces import CSGO, PUBLISHED, SD15, SDXL, art_shapes, layers

import comfy.ops

pytestmark = pytest.mark.faces


def canonical(shapes):
    return {name: shapes[key] for key, name in canonical_names(shapes).items()}


@pytest.mark.parametrize("file", PUBLISHED)
def test_a_published_layout_is_told_by_its_shapes(file):
    """Format, base model, tokens; the network takes every key and no other, and has the published number of parameters."""
    shapes, name, base, tokens, millions = PUBLISHED[file]
    shapes = canonical(shapes)
    spec = detect(shapes, "renamed.bin")
    assert (spec.format, spec.base.value, spec.projector.tokens) == (name, base, tokens)
    network = Adapter(spec, comfy.ops.manual_cast, device="meta")
    own = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    lora = {key: shape for key, shape in shapes.items() if "_lora." in key}
    assert own | lora == shapes
    assert bool(lora) == bool(spec.lora_rank)
    total = sum(torch.Size(shape).numel() for shape in shapes.values()) / 1e6
    assert millions is None or total == pytest.approx(millions, abs=0.06)


def test_art_is_told_by_diffusers_names():
    """Layer names become numbers in the order down, up, mid; the projector keeps its own names."""
    shapes = art_shapes()
    spec = detect(canonical(shapes), "art.bin")
    assert (spec.format, spec.base.value, spec.encoder) == ("IP-Adapter-Art", "SDXL", "CSD ViT-L")
    assert [layer.width for layer in spec.layers] == SDXL[:60] + [7] * 10


def test_damage_is_said():
    """A LoRA with a hole, CSGO with too few layers, a projector that nobody knows."""
    shapes = PUBLISHED["faceid_sd15"][0]
    with pytest.raises(CheckpointError, match="LoRA keys ip_adapter.3.to_q_lora.up.weight"):
        detect({key: shape for key, shape in shapes.items() if key != "ip_adapter.3.to_q_lora.up.weight"}, "f.bin")
    with pytest.raises(CheckpointError, match="58 layers found"):
        detect(canonical(CSGO | layers(SDXL[:58], 2048)), "c.bin")
    with pytest.raises(CheckpointError, match="unknown image projector"):
        detect({"image_proj.strange.weight": (1, 1)} | layers(SD15, 768), "s.bin")
    with pytest.raises(CheckpointError, match="unknown keys ip_adapter.1.to_q_ip.weight"):
        detect(shapes | {"ip_adapter.1.to_q_ip.weight": (320, 768)}, "q.bin")
    for file, lost in (("pulid_v1", "id_adapter.mapping_patch_0.0.weight"), ("pulid_v1.1", "id_adapter.proj_out")):
        left = {key: shape for key, shape in PUBLISHED[file][0].items() if key != lost}
        with pytest.raises(CheckpointError, match="unknown image projector"):
            detect(canonical(left), "p.bin")
    with pytest.raises(CheckpointError, match="unknown keys conv_in_unet_sd"):
        detect(canonical(CSGO | layers(SDXL[:60], 2048) | {"conv_in_unet_sd.weight": (320, 4, 3, 3)}), "c.bin")
