"""EVA02-CLIP, the encoder of PuLID, against its equations; the published file's sizes; what is not taken for it."""

import pytest
import torch
from pack.ipadapter_core.encoders.eva_clip import EvaEncoder, EvaTransformer
from pack.ipadapter_core.encoders.hugging_face import CLIP_MEAN, CLIP_STD
from pack.ipadapter_core.encoders.load import load_image_encoder
from pack.ipadapter_core.errors import EncoderMismatchError
from pack.tools.miniature.eva_clip import PATCH, SIDE, stated, tiny_eva
from pack.tools.miniature.transformers import relative
from safetensors.torch import save_file

pytestmark = [pytest.mark.adapters, pytest.mark.faces]

SIZE = SIDE * PATCH


def pictures(count=2):
    return torch.rand(count, SIZE, SIZE, 3, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("container", ["whole.pt", "vision.safetensors"])
def test_eva_clip_equals_the_equations(container, tmp_path, capsys):
    """From a file with its text part and tables, and from the vision part alone under its inner names."""
    weights = tiny_eva()
    if container.endswith(".pt"):
        torch.save(weights, tmp_path / container)
    else:
        inner = {key.removeprefix("visual."): one for key, one in weights.items() if key.startswith("visual.")}
        save_file(inner, tmp_path / container)
    encoder = load_image_encoder(tmp_path / container)
    assert isinstance(encoder, EvaEncoder) and encoder.image_size == SIZE
    found = encoder.encode_image(pictures(), crop=False)
    wanted = stated(weights, ((pictures() - torch.tensor(CLIP_MEAN)) / torch.tensor(CLIP_STD)).movedim(-1, 1))
    for name, ours in (("last", "last_hidden_state"), ("pooled", "inner_pooled"), ("states", "inner_hidden_states")):
        expected = getattr(wanted, name)
        error = relative(found[ours] - expected, expected)
        with capsys.disabled():
            print(f"\n  EVA02-CLIP {name}: error {error:.1e}")
        assert found[ours].shape == expected.shape and error <= 5e-6


def test_the_published_sizes():
    """EVA02-CLIP-L/14 at 336: 24 blocks, 577 places, states that enter the blocks 4, 8, 12, 16 and 20; 304.4 M parameters."""
    block = {"attn.q_proj.weight": (1024, 1024), "mlp.w1.weight": (2730, 1024)}
    shapes = {f"blocks.{number}.{key}": shape for number in range(24) for key, shape in block.items()}
    shapes |= {"patch_embed.proj.weight": (1024, 3, 14, 14), "pos_embed": (1, 577, 1024), "head.weight": (768, 1024)}
    network = EvaTransformer(shapes, torch.nn, device="meta")
    assert network.states == (4, 8, 12, 16, 20) and network.side == 24
    assert sum(one.numel() for one in network.parameters()) / 1e6 == pytest.approx(304.43, abs=0.1)


def test_it_is_no_encoder_for_other_adapters():
    """No output that an adapter for CLIP ViT-L/14 reads."""
    made = EvaEncoder(
        {key.removeprefix("visual."): one for key, one in tiny_eva().items() if "visual." in key and "rope" not in key}
    ).encode_image(torch.rand(1, 20, 30, 3))
    assert made["inner_hidden_states"].shape == (1, 5, SIDE**2 + 1, 128)
    assert not hasattr(made, "image_embeds") and not hasattr(made, "penultimate_hidden_states")


def test_a_damaged_file(tmp_path):
    """A lost tensor is named."""
    weights = tiny_eva()
    del weights["visual.blocks.2.mlp.ffn_ln.bias"]
    torch.save(weights, tmp_path / "cut.pt")
    with pytest.raises(EncoderMismatchError, match="cut.pt looks like EVA02-CLIP.*blocks.2.mlp.ffn_ln.bias"):
        load_image_encoder(tmp_path / "cut.pt")
