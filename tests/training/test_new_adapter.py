"""New adapters: the sizes and first weights that their recipes give, of which a file makes the same adapter again."""

from types import SimpleNamespace

import pytest
import torch
from pack.ipadapter_core.adapter.load import load_adapter
from pack.ipadapter_core.adapter.save import FileDtype, save_adapter
from pack.ipadapter_core.checkpoint.enums import BaseModel, Feature, FormatName, ProjectorKind
from pack.ipadapter_core.errors import EncoderMismatchError, TrainingError
from pack.ipadapter_core.training.fingerprint import weights_digest
from pack.ipadapter_core.training.new_adapter import Numbers, Size, new_adapter
from pack.ipadapter_core.training.objective import Weighting
from pack.ipadapter_core.training.text_projections import text_layers
from pack.ipadapter_core.training.train import train_adapter
from pack.tools.miniature.models import tiny_model
from pack.tools.miniature.training import FLAT, TEXT, UNET_LATENT, UNET_TEXT, FewExamples, Row, short
from pack.tools.miniature.transformers import tiny_transformer

pytestmark = pytest.mark.training
WIDTHS = {Feature.POOLED: 48, Feature.HIDDEN: 40, Feature.PERCEPTION: 32}


def encoder(*without):
    """An image encoder that makes every kind of feature but some."""
    made = {name.value: torch.zeros(1, *([] if name is Feature.POOLED else [9]), width)
            for name, width in WIDTHS.items() if name not in without}  # fmt: skip
    return SimpleNamespace(image_size=56, encode_image=lambda image, crop: SimpleNamespace(**made))


CASES = {
    "SD1.5 base": (tiny_model, Size.BASE, FormatName.BASE, Feature.POOLED, UNET_LATENT, UNET_TEXT, 0),
    "SD1.5 plus": (tiny_model, Size.PLUS, FormatName.PLUS, Feature.HIDDEN, UNET_LATENT, UNET_TEXT, 0),
    "SDXL base": (lambda: tiny_model("SDXL"), Size.BASE, FormatName.BASE, Feature.POOLED, UNET_LATENT, UNET_TEXT, 1280),
    "FLUX": (lambda: tiny_transformer("FLUX"), Size.BASE, FormatName.XLABS, Feature.POOLED, FLAT, TEXT, 32),
    "Chroma": (lambda: tiny_transformer("Chroma"), Size.PLUS, FormatName.XLABS, Feature.POOLED, FLAT, TEXT, 0),
    "SD3.5": (lambda: tiny_transformer("SD3"), Size.PLUS, FormatName.INSTANTX, Feature.HIDDEN, FLAT, TEXT, 32),
    "Anima": (lambda: tiny_transformer("Anima"), Size.BASE, FormatName.PE_CORE, Feature.PERCEPTION, (16, 8, 6), TEXT, 0),
}  # fmt: skip
every = pytest.mark.parametrize("case", CASES)


@every
def test_its_file_makes_it_again(case, tmp_path):
    """As every other file, and the same weights to the bit; another seed makes another adapter, the same one the same."""
    model, size, kind, feature, *_ = CASES[case]
    made = new_adapter(model(), encoder(), size, seed=3)
    save_adapter(made, tmp_path / "new.safetensors", FileDtype.FP32)
    loaded = load_adapter(str(tmp_path / "new.safetensors"))
    assert loaded.spec.format is kind and loaded.spec.projector == made.spec.projector
    assert (made.spec.projector.feature, made.spec.projector.feature_width) == (feature, WIDTHS[feature])
    assert made.spec.projector.tokens == {Size.BASE: 4, Size.PLUS: 16}[size]
    digests = [weights_digest(one.network) for one in (made, loaded, new_adapter(model(), encoder(), size, seed=3))]
    assert (
        len(set(digests)) == 1 and weights_digest(new_adapter(model(), encoder(), size, seed=4).network) != digests[0]
    )


@every
def test_it_can_be_trained(case):
    """Gradients reach all of it, and the loss at the very noise that it learned from is lower afterwards."""
    model, size, _, feature, latent, text, pooled = CASES[case]
    shape = (WIDTHS[feature],) if feature is Feature.POOLED else (9, WIDTHS[feature])
    row = Row(model, lambda _: {}, shape, latent, text, pooled)
    network, settings = model(), short(8, learning_rate=3e-3)
    settings = settings.__class__(settings.schedule, settings.base, Weighting.PREDICTION)
    begun = new_adapter(network, encoder(), size)
    made = train_adapter(network, begun, FewExamples(row), settings)
    still = settings.__class__(settings.schedule.__class__(8, 0.0), settings.base, Weighting.PREDICTION)
    before, after = (
        sum(train_adapter(network, one, FewExamples(row), still).progress.losses) for one in (begun, made.adapter)
    )
    assert after < 0.98 * before


@every
def test_keys_and_values_begin_as_the_texts(case):
    """To the bit where the text's are projected at once, elsewhere by their direction, and the rest is silent."""
    model, size, *_ = CASES[case]
    network = model()
    made, layers = new_adapter(network, encoder(), size), text_layers(network.model.diffusion_model)
    for place, layer in enumerate(layers):
        own = dict(made.network.layer_at(place).named_parameters())
        assert torch.equal(own["to_k_ip.weight"], layer.key) and torch.equal(own["to_v_ip.weight"], layer.value)
        assert all(torch.equal(own[f"{name}.weight"], norm) for name, norm in layer.norms)
    if case.startswith("SD1.5"):
        attention = network.model.diffusion_model.middle_block[1].transformer_blocks[0].attn2
        assert torch.equal(layers[-1].key, attention.to_k.weight) and torch.equal(
            layers[-1].value, attention.to_v.weight
        )


@pytest.mark.parametrize("name", ["FLUX", "Chroma"])
def test_fluxs_text_projections(name):
    """The text's way into a block as one matrix: in its direction, keys of the length that the model's norm gives them."""
    network = tiny_transformer(name).model.diffusion_model
    block, (layer, *_) = network.double_blocks[0], text_layers(network)
    size = network.hidden_size
    text = torch.randn(5, network.txt_in.in_features, generator=torch.Generator().manual_seed(1))
    _, key, value = block.txt_attn.qkv.weight.split(size)
    for given, wanted in ((layer.key, key), (layer.value, value)):
        found, stated = text @ given.T, text @ network.txt_in.weight.T @ wanted.T
        assert torch.allclose(found / found.norm(), stated / stated.norm(), atol=1e-5)
    lengths = (
        (torch.randn(4096, text.shape[1], generator=torch.Generator().manual_seed(2)) @ layer.key.T).square().mean()
    )
    norm = block.txt_attn.norm.key_norm
    assert float(lengths) == pytest.approx(float((getattr(norm, "scale", None) if hasattr(norm, "scale") else norm.weight)
                                                 .square().mean()), rel=0.05)  # fmt: skip


def test_sizes_by_the_recipe():
    """SD1.5's and SDXL's published plus adapters: 768 and 1280 channels in heads of 64, four blocks, sixteen tokens."""
    found = [new_adapter(tiny_model(base, context_dim=width), encoder(), Size.PLUS).spec
             for base, width in (("SD1.5", 768), ("SDXL", 2048))]  # fmt: skip
    assert [(one.projector.width, one.projector.heads, one.projector.depth, one.projector.tokens) for one in found] == [
        (768, 12, 4, 16), (1280, 20, 4, 16)
    ]  # fmt: skip


def test_sizes_by_hand():
    """Each number that is not 0."""
    made = new_adapter(tiny_model(), encoder(), Size.PLUS, Numbers(tokens=8, width=128, depth=2)).spec.projector
    assert (made.tokens, made.width, made.heads, made.depth) == (8, 128, 2, 2) and made.kind is ProjectorKind.RESAMPLER
    assert new_adapter(tiny_model(), encoder(), Size.BASE, Numbers(tokens=7)).spec.base is BaseModel.OTHER
    with pytest.raises(TrainingError, match="a multiple of 64"):
        new_adapter(tiny_model(), encoder(), Size.PLUS, Numbers(width=100))


def test_what_does_not_fit():
    """An encoder without the feature, and a model for which nobody knows a kind of adapter."""
    with pytest.raises(EncoderMismatchError, match="makes no image_embeds"):
        new_adapter(tiny_model(), encoder(Feature.POOLED), Size.BASE)
    model = tiny_model()
    model.model.diffusion_model = torch.nn.Linear(2, 2)
    with pytest.raises(TrainingError, match="no kind of IP-Adapter is known"):
        new_adapter(model, encoder(), Size.BASE)
