"""What transformer adapters are not for: one sentence that says what was found, what was expected and what to do."""

import inspect

import pytest
from pack.ipadapter_core.errors import ModelMismatchError
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.transformer_world import world
from pack.tools.miniature.transformers import tiny_transformer

import comfy.ldm.flux.layers
import comfy.ldm.modules.attention
from comfy.ldm.chroma_radiance.model import ChromaRadiance

pytestmark = pytest.mark.dit


@pytest.mark.parametrize(
    ("case", "model", "message"),
    [
        ("FLUX XLabs", ("SD3", {}), "for FLUX.1, but the model is SD3"),
        ("FLUX InstantX", ("FLUX", {"depth_single_blocks": 2}), "2 double and 2 single blocks"),
        ("SD3.5 InstantX", ("FLUX", {}), "for SD3.5 Large, but the model is Flux"),
        ("Anima LuciferTC", ("Anima", {"num_blocks": 2}), "2 blocks of width 128"),
        ("FLUX XLabs", ("Wan", {}), "for FLUX.1, but the model is WAN21"),
        (
            "Wan Lynx lite",
            ("Wan", {"num_layers": 2}),
            r"in every second block\), but the model has 2 blocks of width 128: load",
        ),
        ("Wan Lynx full", ("Wan", {"dim": 256}), "4 blocks of width 256: load Wan 2.1 or 2.2 with 14B parameters"),
    ],
)
def test_models_that_do_not_fit(case, model, message):
    """Found, expected, and what to change."""
    _, _, ip_adapter, prompt = world(case)
    with pytest.raises(ModelMismatchError, match=message):
        apply_image_prompt(tiny_transformer(model[0], **model[1]), ip_adapter, prompt, Strength(1.0))


@pytest.mark.parametrize("name", ["Flux2", "QwenImage", "Lumina2", "Krea2"])
def test_models_without_weights(name):
    """One sentence that says so, and what ComfyUI has instead."""
    _, model, ip_adapter, prompt = world("FLUX XLabs")
    kind = type(name, (type(model.model),), {})
    other = model.clone()
    other.model = object.__new__(kind)
    other.model.__dict__.update(model.model.__dict__)
    with pytest.raises(
        ModelMismatchError, match=f"the model is {name}, and this pack reads no IP-Adapter for it: use .* instead"
    ):
        apply_image_prompt(other, ip_adapter, prompt, Strength(1.0))


def test_chroma_radiance_is_refused():
    """Built on a class that fits, but on pixels: no adapter was ever made for it."""
    _, model, ip_adapter, prompt = world("Chroma InstantX")
    other = model.clone()
    other.model = object.__new__(type("ChromaRadiance", (type(model.model),), {}))
    other.model.__dict__.update(model.model.__dict__)
    network = object.__new__(ChromaRadiance)
    network.__dict__.update(model.model.diffusion_model.__dict__)
    other.add_object_patch("diffusion_model", network)
    with pytest.raises(
        ModelMismatchError, match=r"^tiny.safetensors is for FLUX.1, but the model is ChromaRadiance: load"
    ):
        apply_image_prompt(other, ip_adapter, prompt, Strength(1.0))


@pytest.mark.parametrize(
    ("case", "word", "module"),
    [
        ("FLUX XLabs", "attn1_patch", comfy.ldm.flux.layers),
        ("FLUX InstantX", "attn1_output_patch", comfy.ldm.flux.layers),
        ("SD3.5 InstantX", "optimized_attention_override", comfy.ldm.modules.attention),
    ],
)
def test_a_comfyui_without_the_hooks_is_too_old(case, word, module, monkeypatch):
    """It would do nothing and say nothing: a module of ComfyUI's without the name, as before it was added."""
    _, model, ip_adapter, prompt = world(case)
    source = inspect.getsource(module).replace(word, "nothing_of_the_kind")
    monkeypatch.setattr(inspect, "getsource", lambda _: source)
    with pytest.raises(ModelMismatchError, match=f"acts through {word}, which {module.__name__} .*update ComfyUI"):
        apply_image_prompt(model, ip_adapter, prompt, Strength(1.0))


def test_a_comfyui_without_readable_sources_is_trusted(monkeypatch):
    """As in a frozen build."""

    def unreadable(_):
        raise OSError("source code not available")

    _, model, ip_adapter, prompt = world("FLUX XLabs")
    monkeypatch.setattr(inspect, "getsource", unreadable)
    assert apply_image_prompt(model, ip_adapter, prompt, Strength(1.0)) is not model
