"""PE-Core, the encoder of Anima's second adapter, against its equations, and what it is shown of an image."""

import pytest
import torch
from pack.ipadapter_core.encoders.clip_vision import EncodeOptions, encode_references
from pack.ipadapter_core.encoders.load import load_image_encoder
from pack.ipadapter_core.encoders.perception import BUCKETS, PerceptionEncoder, perception_from_weights
from pack.ipadapter_core.errors import EncoderMismatchError
from pack.ipadapter_core.images.fit import ResizeMode
from pack.tools.miniature.perception import PATCH, SIDE, stated, tiny_perception
from pack.tools.miniature.siglip import siglip
from pack.tools.miniature.transformers import adapter, perceiver, relative, weights_of

pytestmark = pytest.mark.dit

LIMIT = 5e-6


def spec():
    return adapter(weights_of(perceiver(3, 128, feature=128))).spec


def pictures(height, width, count=2):
    shape = (count, height, width, 3)
    return (torch.rand(shape, generator=torch.Generator().manual_seed(4)) * 255).round() / 255


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("shape", [(SIDE * PATCH, SIDE * PATCH), (6 * PATCH, 3 * PATCH), (3 * PATCH, 6 * PATCH)])
def test_perception_features_equal_the_equations(shape, prefix, tmp_path, capsys):
    """In the square of the training, upright and wide; from a file that holds the text part, too."""
    weights = tiny_perception()
    torch.save({prefix + key: tensor for key, tensor in weights.items()}, tmp_path / "pe.pt")
    encoder = load_image_encoder(tmp_path / "pe.pt")
    assert isinstance(encoder, PerceptionEncoder)
    prompt, seen = encode_references(spec(), encoder, pictures(*shape), EncodeOptions())
    assert seen.shape == (2, *shape, 3)
    found = torch.cat([one.image.features for one in prompt.references])
    wanted = stated(weights, pictures(*shape).movedim(-1, 1) * 2 - 1)
    error = relative(found - wanted, wanted)
    with capsys.disabled():
        print(f"\n  PE-Core {shape[0]} x {shape[1]}  error {error:.1e}")
    assert error <= LIMIT
    assert all(torch.equal(one.image.negative, one.image.features) for one in prompt.references)


def test_a_picture_takes_the_shape_of_the_nearest_aspect():
    """As trained: stretched a little, nothing cut off. Any other fit gives the encoder's square."""
    encoder = perception_from_weights(tiny_perception(), "pe.pt")
    for size, patches in (((200, 100), (6, 3)), ((100, 140), (4, 5)), ((50, 50), (4, 4)), ((30, 300), (3, 6))):
        _, seen = encode_references(spec(), encoder, pictures(*size, 1), EncodeOptions())
        assert (seen.shape[1] // PATCH, seen.shape[2] // PATCH) == patches
    prompt, seen = encode_references(spec(), encoder, pictures(30, 90, 1), EncodeOptions(ResizeMode.CENTER))
    assert seen.shape[1:3] == (SIDE * PATCH, SIDE * PATCH) and prompt.references[0].image.features.shape == (1, 17, 128)
    assert all(abs(rows * columns - 576) <= 12 for rows, columns in BUCKETS)


def test_other_encoders_and_damaged_files_are_refused(tmp_path):
    """SigLIP makes hidden states of the same width; a lost tensor is named; a text tower alone is no image encoder."""
    with pytest.raises(EncoderMismatchError, match="makes no perception_features.*PE-Core|Load Image Encoder"):
        encode_references(spec(), siglip()[1], pictures(64, 64), EncodeOptions())
    weights = tiny_perception()
    del weights["visual.ln_post.weight"]
    torch.save(weights, tmp_path / "cut.pt")
    with pytest.raises(EncoderMismatchError, match="cut.pt looks like a Perception Encoder.*ln_post.weight"):
        load_image_encoder(tmp_path / "cut.pt")
