"""Workflows that provoke each error about Lynx: its two files, whom it knows faces by, and Wan."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from pack.ipadapter_core.encoders.face.geometry import TEMPLATE
from pack.ipadapter_core.encoders.face.ir_se50 import SecondRecogniser
from pack.tools.miniature.executing import Step
from pack.tools.miniature.files import Workshop
from pack.tools.miniature.ir_se50 import recogniser_weights
from pack.tools.miniature.lynx import full_layers, lite_layers, lynx_lite, resampler
from pack.tools.miniature.transformers import noise, predict, prompt_for, some_call, weights_of, xlabs
from safetensors.torch import save_file

LAYERS, RESAMPLER = "ip_layers.safetensors", "resampler.safetensors"


def half_of_lynx(shop: Workshop) -> Step:
    """The layers without the resampler that makes their tokens."""
    return shop.transformer_adapter(LAYERS, lite_layers(2, 128, 48))


def a_resampler_of_another_width(shop: Workshop) -> Step:
    """Lite layers with the full resampler."""
    _second(shop, 96)
    return _with_second(shop.transformer_adapter(LAYERS, lite_layers(2, 128, 64)))


def a_resampler_for_a_whole_adapter(shop: Workshop) -> Step:
    """XLabs' file needs no second one."""
    _second(shop, 64)
    return _with_second(shop.transformer_adapter("flux_xlabs.safetensors", xlabs(2, 256, 64)))


def registers_of_another_width(shop: Workshop) -> Step:
    """Learned tokens that are not like the resampler's."""
    return shop.transformer_adapter(LAYERS, full_layers(2, 128, 96) | {"1.registers": (1, 3, 64)})


def a_face_analysis_without_ir_se50(shop: Workshop) -> Step:
    """Identities of other recognisers are not Lynx'."""
    return _face(shop, None)


def half_a_recogniser(shop: Workshop) -> Step:
    """A tensor is missing."""
    weights = recogniser_weights()
    del weights["output_layer.3.bias"]
    path = shop.place("facexlib", "recognition_arcface_ir_se50.pth")
    torch.save(weights, path)
    return _face(shop, SecondRecogniser(path))


def wan_of_another_size(shop: Workshop) -> Step:
    """A Wan of 1.3B or 5B."""
    adapter = shop.transformer_adapter("lynx.safetensors", lynx_lite(20, 96))
    return shop.applied(shop.transformer("Wan"), adapter, _prompt(adapter))


def tokens_that_are_no_whole_frames(shop: Workshop) -> Step:
    """A mask, and images in the model's context that have other sizes than the video."""
    adapter = shop.transformer_adapter("lynx.safetensors", lynx_lite())
    mask = Step("Load Image (as Mask)", make=lambda: torch.ones(1, 8, 8).tril())
    applied = shop.applied(shop.transformer("Wan"), adapter, _prompt(adapter), mask=mask)

    def make() -> torch.Tensor:
        call = some_call("Wan")
        further = {"context_latents": [noise(2, 16, 1, 4, 4)]}
        return predict(applied.value(), call._replace(arguments=call.arguments | further))

    return Step("KSampler", {"model": applied}, make=make)


def _second(shop: Workshop, width: int) -> None:
    save_file(weights_of(resampler(width, prefix="")), shop.place("ipadapter", RESAMPLER))


def _with_second(load: Step) -> Step:
    return Step(load.node, load.inputs | {"resampler_name": RESAMPLER})


def _prompt(adapter: Step) -> Step:
    return Step("Encode Face", note="for this file", make=lambda: prompt_for(adapter.value(), noise(1, 512)))


def _face(shop: Workshop, second: Any) -> Step:
    """*Encode Face* on an image with one face."""
    vector = np.ones(512, np.float32)
    face = SimpleNamespace(bbox=[8.0, 8.0, 60.0, 60.0], kps=TEMPLATE.numpy(), det_score=0.9, embedding=vector,
                           normed_embedding=vector / 512**0.5)  # fmt: skip
    analysis = SimpleNamespace(det_model=SimpleNamespace(input_size=(640, 640)), get=lambda _: [face], second=second)
    known = Step("Load Face Analysis", note="antelopev2", make=lambda: analysis)
    adapter = shop.transformer_adapter("lynx.safetensors", lynx_lite())
    return Step("IPAdapterCoreEncodeFace", {"ip_adapter": adapter, "image": shop.picture(), "insightface": known})


LYNX_GRAPHS = (
    half_of_lynx, a_resampler_of_another_width, a_resampler_for_a_whole_adapter, registers_of_another_width,
    a_face_analysis_without_ir_se50, half_a_recogniser, wan_of_another_size, tokens_that_are_no_whole_frames,
)  # fmt: skip
