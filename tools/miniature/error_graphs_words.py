"""Workflows that provoke each error about the part of a reference that is read, and about the words that it belongs to."""

from types import SimpleNamespace
from typing import Any

import torch
from pack.ipadapter_core.prompt.image_prompt import Words
from pack.ipadapter_core.prompt.words import bind_words, with_tokens
from pack.tools.miniature.clip import clip_of
from pack.tools.miniature.executing import Step
from pack.tools.miniature.files import TEXT, Workshop
from pack.tools.miniature.transformers import xlabs

import comfy.sample
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrappersMP

IDS, CAT = (1, 2, 3, 4, 5, 6, 7), Words("cat", ((3,),))


def patches_of_a_base_adapter(shop: Workshop) -> Step:
    """It reads one vector of the whole image."""
    return shop.encoded(shop.adapter(), mask=_mask(1.0), mask_use="patches")


def a_mask_that_selects_nothing(shop: Workshop) -> Step:
    """Black everywhere."""
    adapter = shop.adapter("ip-adapter-plus_sd15.safetensors", kind="plus")
    return shop.encoded(adapter, mask=_mask(0.0), mask_use="patches")


def words_that_are_not_in_the_text(shop: Workshop) -> Step:
    """A dog where the text has a cat."""
    return _words(shop, Step("Load Checkpoint", note="CLIP", make=clip_of), words="dog")


def words_of_another_text_encoder(shop: Workshop) -> Step:
    """Tokens of T5."""
    features = SimpleNamespace(
        tokenize=lambda text: {"t5xxl": [[(1, 1.0)]]},
        encode_from_tokens_scheduled=lambda tokens: [[torch.zeros(1, 1, 96), {}]],
    )
    return _words(shop, Step("Load CLIP", note="T5", make=lambda: features))


def words_on_flux(shop: Workshop) -> Step:
    """Its layers attend to text and image together."""
    adapter = shop.transformer_adapter("flux_xlabs.safetensors", xlabs(2, 256, 64, feature=768))
    encoded = shop.encoded(adapter, clip_vision=shop.encoder("ViT-L", 64, 768))
    return shop.applied(shop.transformer("FLUX"), adapter, _bound(encoded))


def a_text_that_does_not_say_its_tokens(shop: Workshop) -> Step:
    """The sampler got the prompt of another node."""
    return _sampled(shop, None)


def a_text_without_the_words(shop: Workshop) -> Step:
    """The sampler got the text of another Words for Reference."""
    return _sampled(shop, (1,) * 7)


def a_prompt_that_is_repeated_inside(shop: Workshop) -> Step:
    """As packs do that make regions of prompts."""

    def regions(query: Any, key: Any, value: Any, _options: Any) -> list[Any]:
        return [torch.cat((one, one[:1])) for one in (query, key, value)]

    def patched(model: ModelPatcher) -> ModelPatcher:
        model.set_model_attn2_patch(regions)
        return model

    return _sampled(shop, IDS, patched)


def a_call_that_names_no_texts(shop: Workshop) -> Step:
    """A sampler of another pack, with options of its own."""

    def nameless(executor: Any, *args: Any, **kwargs: Any) -> Any:
        *rest, options = args
        return executor(*rest, {key: one for key, one in options.items() if key != "uuids"}, **kwargs)

    def wrapped(model: ModelPatcher) -> ModelPatcher:
        model.add_wrapper_with_key(WrappersMP.APPLY_MODEL, "nameless", nameless)
        return model

    return _sampled(shop, IDS, wrapped)


def _words(shop: Workshop, clip: Step, words: str = "cat") -> Step:
    given = {"image_prompt": shop.encoded(shop.adapter()), "clip": clip, "text": "a photo of a cat", "words": words}
    return Step("IPAdapterCoreWords", given)


def _bound(encoded: Step) -> Step:
    return Step("Words for Reference", {"image_prompt": encoded}, make=lambda: bind_words(encoded.value(), CAT))


def _sampled(shop: Workshop, ids: tuple[int, ...] | None, change: Any = None) -> Step:
    """A run whose positive prompt says these tokens, on a model that another pack has changed before."""
    adapter = shop.adapter()
    given = Step("a node of another pack", make=lambda: change(shop.checkpoint().value()))
    model = shop.checkpoint() if change is None else given
    applied = shop.applied(model, adapter, _bound(shop.encoded(adapter)))
    return Step("KSampler", {"model": applied}, make=lambda: _sample(applied.value(), ids))


def _sample(model: ModelPatcher, ids: tuple[int, ...] | None) -> torch.Tensor:
    blank, text = torch.zeros(1, 4, 8, 8), [[torch.zeros(1, 7, TEXT["SD1.5"]), {}]]
    noise = torch.randn(blank.shape, generator=torch.Generator().manual_seed(1))
    positive = text if ids is None else with_tokens(text, ids)
    return comfy.sample.sample(
        model, noise, 1, 4.0, "euler", "normal", positive, text, blank, disable_pbar=True, seed=1
    )


def _mask(value: float) -> Step:
    return Step("Load Image (as Mask)", make=lambda: torch.full((1, 96, 96), value))


WORD_GRAPHS = (
    patches_of_a_base_adapter, a_mask_that_selects_nothing, words_that_are_not_in_the_text, words_of_another_text_encoder,
    words_on_flux, a_text_that_does_not_say_its_tokens, a_text_without_the_words, a_prompt_that_is_repeated_inside,
    a_call_that_names_no_texts,
)  # fmt: skip
