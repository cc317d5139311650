"""Workflows that provoke each error about an engine or a node that shows the model's layers less than they expect."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import torch
from pack.tools.miniature.executing import Step
from pack.tools.miniature.files import Workshop
from pack.tools.miniature.pulid import face_features, pulid_flux
from pack.tools.miniature.transformers import (
    instantx_flux,
    noise,
    perceiver,
    predict,
    prompt_for,
    some_call,
    xlabs,
)

import comfy.ldm.flux.layers
from comfy.model_patcher import ModelPatcher

ENGINE = "an engine for several GPUs"
HALF = torch.ones(1, 8, 8).tril()

Change = Callable[[ModelPatcher], Any]  # what stands around a run of a model that it may change


def tokens_in_parts_that_nobody_knows(shop: Workshop) -> Step:
    """A mask, and an engine that hands each GPU some of the tokens without saying which."""
    mask = Step("Load Image (as Mask)", make=lambda: HALF)
    return _xlabs(shop, lambda model: _replaced(model, ("double_block", 0), _fewer_tokens), mask=mask)


def queries_that_are_turned_already(shop: Workshop) -> Step:
    """The same engine on FLUX, which turns queries before patches see them; nobody says by how much."""
    return _xlabs(shop, lambda model: _replaced(model, ("double_block", 0), _without_rotation))


def blocks_that_do_not_say_which_they_are(shop: Workshop) -> Step:
    """An engine with a forward of its own for FLUX' blocks."""
    return _xlabs(shop, lambda _: _blocks_without("DoubleStreamBlock", "block_index"))


def blocks_that_leave_out_a_hook(shop: Workshop) -> Step:
    """The same, which asks the patches before its attention and not those behind it."""
    adapter = shop.transformer_adapter("flux_instantx.safetensors", instantx_flux(5, 256, 64, feature=1152))
    return _run(
        shop, "FLUX", adapter, noise(1, 1152), lambda _: _blocks_without("SingleStreamBlock", "attn1_output_patch")
    )


def an_attention_of_another_pack(shop: Workshop) -> Step:
    """An engine that puts its attention into Anima's blocks, over ours."""
    adapter = shop.transformer_adapter("anima_pe.safetensors", perceiver(3, 128, feature=128))
    return _run(shop, "Anima", adapter, noise(1, 17, 128), lambda model: contextlib.nullcontext(_without_ours(model)))


def a_part_of_text_and_image(shop: Workshop) -> Step:
    """PuLID's single blocks have to know which rows are the image's."""
    adapter = shop.transformer_adapter("pulid_flux.safetensors", pulid_flux(2, 256))
    return _run(shop, "FLUX", adapter, face_features(8), lambda model: _replaced(model, ("single_block", 0), _half))


def _xlabs(shop: Workshop, engine: Change, **inputs: Step) -> Step:
    adapter = shop.transformer_adapter("flux_xlabs.safetensors", xlabs(2, 256, 64, feature=768))
    return _run(shop, "FLUX", adapter, noise(1, 768), engine, **inputs)


def _run(shop: Workshop, name: str, adapter: Step, features: Any, engine: Change, **inputs: Step) -> Step:
    """A model call with an engine between Apply IP-Adapter and the sampler."""
    prompt = Step("Encode Reference Image", note="for this file", make=lambda: prompt_for(adapter.value(), features))
    applied = shop.applied(shop.transformer(name), adapter, prompt, **inputs)

    def make() -> torch.Tensor:
        model = applied.value().clone()
        with engine(model):
            return predict(model, some_call(name))

    return Step("KSampler", {"model": Step(ENGINE, {"model": applied}, make=lambda: None)}, make=make)


@contextlib.contextmanager
def _replaced(model: ModelPatcher, block: tuple[str, int], change: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """The model whose block is called with other arguments."""

    def replace(args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        changed = dict(args)
        change(changed)
        return extra["original_block"](changed)

    model.set_model_patch_replace(replace, "dit", *block)
    yield


def _fewer_tokens(args: dict[str, Any]) -> None:
    args["img"] = args["img"][:, :5]
    args["pe"] = args["pe"][:, :, : args["txt"].shape[1] + 5]


def _half(args: dict[str, Any]) -> None:
    length = args["img"].shape[1] // 2
    args["img"], args["pe"] = args["img"][:, :length], args["pe"][:, :, :length]


def _without_rotation(args: dict[str, Any]) -> None:
    args["pe"] = None


def _blocks_without(kind: str, missing: str) -> Any:
    """FLUX' blocks with options and patches that lack one thing."""
    block = getattr(comfy.ldm.flux.layers, kind)
    forward = block.forward

    def poorer(self: Any, *args: Any, transformer_options: dict[str, Any], **kwargs: Any) -> Any:
        options = {key: one for key, one in transformer_options.items() if key != missing}
        options["patches"] = {key: one for key, one in options["patches"].items() if key != missing}
        return forward(self, *args, transformer_options=options, **kwargs)

    return patch.object(block, "forward", poorer)


def _without_ours(model: ModelPatcher) -> None:
    attention = model.model.diffusion_model.blocks[1].cross_attn
    model.add_object_patch("diffusion_model.blocks.1.cross_attn.attn_op", attention.attn_op)


SPLIT_GRAPHS = (
    tokens_in_parts_that_nobody_knows, queries_that_are_turned_already, blocks_that_do_not_say_which_they_are,
    blocks_that_leave_out_a_hook, an_attention_of_another_pack, a_part_of_text_and_image,
)  # fmt: skip
