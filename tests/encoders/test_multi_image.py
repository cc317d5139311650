"""Prompts of more than one image: pairs for CSGO, and an image with an instruction."""

import pytest
import torch
from pack.ipadapter_core.encoders.clip_vision import EncodeOptions
from pack.ipadapter_core.encoders.multi_image import Words, encode_content_and_style, encode_instructed
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.hooks.wrappers import applications_of
from pack.ipadapter_core.sampling.strength import Strength
from pack.tools.miniature.clip import TinyClip
from pack.tools.miniature.faces import TEXT, loaded, tiny_encoder, weights_of
from pack.tools.miniature.models import tiny_model, widths_of

pytestmark = pytest.mark.faces


def noise(count):
    """Images (B, 96, 240, 3)."""
    return torch.rand(count, 96, 240, 3, generator=torch.Generator().manual_seed(1))


def test_pairs_for_csgo(tmp_path):
    """Two contents with one style are two references; the negative is zeros."""
    adapter = loaded(weights_of("CSGO", widths_of(tiny_model("SDXL"))[:60], 96), tmp_path)
    prompt, seen = encode_content_and_style(adapter.spec, tiny_encoder(), noise(2), noise(1), EncodeOptions())
    assert len(prompt.references) == 2 and len(seen) == 3
    first, second = (one.image.features for one in prompt.references)
    assert torch.equal(first[1], second[1]) and not torch.equal(first[0], second[0])
    assert not any(part.any() for part in prompt.references[0].image.negative)
    assert applications_of(
        apply_image_prompt(tiny_model("SDXL"), adapter, prompt, Strength()).model_options["transformer_options"]
    )


@pytest.mark.parametrize(("layer", "extra"), [("last", 0), ("hidden", 80)])
def test_instructions_are_clips_last_states(tmp_path, layer, extra):
    """As transformers' CLIPTextModel gives them, for SD1.5's and for SDXL's settings of the text encoder."""
    from transformers import CLIPTextConfig, CLIPTextModel

    clip = TinyClip(layer, extra=extra)
    config = CLIPTextConfig(vocab_size=49408, hidden_size=TEXT, intermediate_size=96, num_hidden_layers=3,
                            num_attention_heads=4, max_position_embeddings=77)  # fmt: skip
    theirs = CLIPTextModel(config).eval()
    names = {key.removeprefix("text_model."): tensor for key, tensor in clip.text.transformer.state_dict().items()}
    target = theirs.state_dict()
    shared = [key for key in target if key.removeprefix("text_model.") in names]
    assert len(shared) >= 3 * 16  # every weight of three layers
    target |= {key: names[key.removeprefix("text_model.")] for key in shared}
    theirs.load_state_dict(target)
    spec = loaded(weights_of("Instruct", widths_of(tiny_model("SD1.5")), 96), tmp_path).spec
    prompt, _ = encode_instructed(
        spec, tiny_encoder(), clip, noise(1), Words("use the style", "a cat", "ugly"), EncodeOptions()
    )
    image = prompt.references[0].image
    with torch.no_grad():
        for text, part in (("use the style", image.features[1]), ("a cat", image.features[2]),
                           ("", image.negative[1]), ("ugly", image.negative[2])):  # fmt: skip
            expected = theirs(torch.tensor([clip.tokenize(text)])).last_hidden_state
            assert torch.allclose(part, expected, atol=1e-5)
