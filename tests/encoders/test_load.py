"""Half an image encoder, whichever tensor it lacks, is one sentence: never a guess, never an error of Python's."""

import pytest
import torch
from pack.ipadapter_core.encoders.load import load_image_encoder
from pack.ipadapter_core.errors import EncoderMismatchError
from pack.ipadapter_core.limits import MESSAGE
from pack.tools.fuzz.examples import ENCODERS
from pack.tools.miniature.perception import tiny_perception
from safetensors.torch import save_file

pytestmark = [pytest.mark.trust, pytest.mark.inputs]

WIDTH = 64


def openai(prefix):
    """A CLIP vision model under OpenAI's names, as CSD and open_clip save theirs."""
    shapes = {"class_embedding": (WIDTH,), "conv1.weight": (WIDTH, 3, 14, 14), "positional_embedding": (5, WIDTH)}
    shapes |= {f"{norm}.{part}": (WIDTH,) for norm in ("ln_pre", "ln_post") for part in ("weight", "bias")}
    for number in range(2):
        block = f"transformer.resblocks.{number}."
        shapes |= {
            f"{block}attn.in_proj_weight": (3 * WIDTH, WIDTH), f"{block}attn.in_proj_bias": (3 * WIDTH,),
            f"{block}attn.out_proj.weight": (WIDTH, WIDTH), f"{block}attn.out_proj.bias": (WIDTH,),
            f"{block}mlp.c_fc.weight": (96, WIDTH), f"{block}mlp.c_fc.bias": (96,),
            f"{block}mlp.c_proj.weight": (WIDTH, 96), f"{block}mlp.c_proj.bias": (WIDTH,),
        }  # fmt: skip
        shapes |= {f"{block}{norm}.{part}": (WIDTH,) for norm in ("ln_1", "ln_2") for part in ("weight", "bias")}
    generator = torch.Generator().manual_seed(1)
    return {f"{prefix}{key}": torch.randn(shape, generator=generator) * 0.1 for key, shape in shapes.items()}


CLIP, SIGLIP = ENCODERS
FILES = {
    "CLIP": CLIP,
    "SigLIP": SIGLIP,
    "CLIP by OpenAI": openai("visual.") | {"visual.proj": torch.ones(WIDTH, 16)},
    "CSD": openai("backbone.") | {"last_layer_style": torch.ones(WIDTH, 16)},
    "PE-Core": {key: one for key, one in tiny_perception().items() if key.startswith("visual.")},
}
NEEDLESS = ("visual.attn_pool.probe", "visual.proj", "vision_model.head.probe")  # PE-Core's pooling, SigLIP's


@pytest.mark.parametrize("kind", FILES)
def test_the_whole_file_is_loaded(kind, tmp_path):
    """So that what the next test takes away is what is missed."""
    save_file(FILES[kind], tmp_path / "whole.safetensors")
    made = load_image_encoder(tmp_path / "whole.safetensors").encode_image(torch.rand(1, 28, 28, 3), crop=False)
    assert made["last_hidden_state"].isfinite().all()


@pytest.mark.parametrize("kind", FILES)
def test_every_tensor_that_is_missing_is_missed(kind, tmp_path):
    """One after the other, then the whole second half."""
    path = tmp_path / "half.safetensors"
    names = [name for name in FILES[kind] if not (kind == "PE-Core" and name in NEEDLESS) and name != NEEDLESS[2]]
    for lost in [{name} for name in names] + [set(names[len(names) // 2 :])]:
        save_file({name: one for name, one in FILES[kind].items() if name not in lost}, path)
        with pytest.raises(EncoderMismatchError) as caught:
            load_image_encoder(path)
        assert "half.safetensors" in str(caught.value) and len(str(caught.value)) <= MESSAGE, lost
