"""Workflows that provoke each error about training: what goes in, what happens meanwhile, what is to be kept."""

import struct
import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from pack.ipadapter_core.adapter import whole_file
from pack.ipadapter_core.training.optimisers import OptimiserName
from pack.tools.miniature.executing import Step
from pack.tools.miniature.files import TEXT, Workshop

from comfy.patcher_extension import WrappersMP

IMAGES = 4


def too_few_images(shop: Workshop) -> Step:
    """Two of them."""
    return _train(shop, latents=_latents(2), references=_references(2))


def captions_missing(shop: Workshop) -> Step:
    """Three for four images."""
    return _train(shop, positive=_captions(3))


def references_missing(shop: Workshop) -> Step:
    """Another number than of latents."""
    return _train(shop, references=_references(3))


def nothing_to_look_at(shop: Workshop) -> Step:
    """Neither references nor a VAE."""
    step = _train(shop)
    del step.inputs["references"]
    return step


def an_encoder_of_another_width(shop: Workshop) -> Step:
    """ViT-bigG where ViT-H belongs."""
    return _train(shop, clip_vision=shop.encoder("ViT-bigG", 1664, 1280))


def latents_that_are_none(shop: Workshop) -> Step:
    """Images in their place."""
    return _train(shop, latents=Step("Load Image", make=lambda: [torch.full((1, 96, 96), 0.5)]))


def captions_as_text(shop: Workshop) -> Step:
    """The words themselves, not encoded."""
    return _train(shop, positive=Step("a node of another pack", note="texts", make=lambda: ["a cat"]))


def an_adapter_that_reads_faces(shop: Workshop) -> Step:
    """FaceID, which sees no images."""
    step = _train(shop, ip_adapter=shop.face_adapter("faceid.safetensors", "FaceID"))
    step.inputs["clip_vision"] = shop.encoder()
    return step


def a_base_that_carries_no_gradients(shop: Workshop) -> Step:
    """A layer computes where PyTorch does not follow."""

    def cut(model: Any) -> None:
        block = model.model.diffusion_model.output_blocks[0][0]
        whole = block.forward
        block.forward = lambda *args, **more: whole(*args, **more).detach()

    return _train(shop, model=_changed(shop, "quantised by another pack", cut), gradient_checkpointing=[False])


def a_base_that_is_for_sampling_alone(shop: Workshop) -> Step:
    """Nothing of it can be followed."""

    def close(model: Any) -> None:
        network = model.model.diffusion_model
        network.forward = torch.no_grad()(network.forward)

    return _train(shop, model=_changed(shop, "by a loader of another pack", close))


def a_loss_that_is_no_number(shop: Workshop) -> Step:
    """A model with a broken weight."""

    def break_it(model: Any) -> None:
        model.model.diffusion_model.out[2].weight.fill_(float("nan"))

    return _train(shop, model=_changed(shop, "SD1.5, damaged", break_it))


def a_base_that_is_changed_meanwhile(shop: Workshop) -> Step:
    """By a node of another pack that was applied to it."""

    def count(executor: Any, *args: Any, **more: Any) -> Any:
        with torch.no_grad():
            executor.class_obj.out[2].bias.add_(1.0)
        return executor(*args, **more)

    def watch(model: Any) -> None:
        model.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "another pack", count)

    return _train(shop, model=_changed(shop, "with a node of another pack", watch))


def no_bitsandbytes(shop: Workshop) -> Step:
    """The 8-bit optimiser without its package."""
    step = _train(shop, optimizer=[OptimiserName.ADAMW_8BIT.value])

    def make() -> Any:
        with patch.dict(sys.modules, {"bitsandbytes": None}):
            return step.value()

    return Step("Train IP-Adapter", note="optimizer AdamW 8-bit, where bitsandbytes is not installed", make=make)


def no_room_for_a_checkpoint(shop: Workshop) -> Step:
    """The disk is full."""
    return _without_room(_train(shop), "Train IP-Adapter")


def a_broken_checkpoint(shop: Workshop) -> Step:
    """Which a crash, or somebody, has cut off."""
    step = _train(shop)

    def make() -> Any:
        step.value()
        (file,) = (shop.models.parent / "output" / "ipadapter_training").iterdir()
        file.write_bytes(
            struct.pack("<Q", 18_000) + file.read_bytes()[8:100]
        )  # a checkpoint's header notes its seconds
        return step.value()

    return Step("Train IP-Adapter", note="again, over a checkpoint that was cut off", make=make)


def a_new_adapter_for_an_unknown_model(shop: Workshop) -> Step:
    """Whose layers nobody knows."""

    def other(model: Any) -> None:
        model.model.diffusion_model = torch.nn.Linear(2, 2)

    return _new(shop, model=_changed(shop, "of another kind", other))


def a_new_adapter_for_quantised_text_layers(shop: Workshop) -> Step:
    """Whose weights are packed."""

    def pack(model: Any) -> None:
        attention = model.model.diffusion_model.middle_block[1].transformer_blocks[0].attn2
        attention.to_k.weight = torch.nn.Parameter(torch.zeros(64, 12, dtype=torch.uint8), requires_grad=False)

    return _new(shop, model=_changed(shop, "SD1.5, quantised", pack))


def a_new_adapter_of_an_odd_width(shop: Workshop) -> Step:
    """No whole number of heads."""
    return _new(shop, size="plus, 16 tokens", width=100)


def an_encoder_without_the_feature(shop: Workshop) -> Step:
    """PE-Core's features, which CLIP has not."""
    return _new(shop, model=shop.transformer("Anima"))


def weights_that_are_no_numbers(shop: Workshop) -> Step:
    """A training that went wrong."""

    def make() -> Any:
        adapter = shop.adapter().value()
        adapter.network.image_proj.norm.bias = torch.nn.Parameter(torch.full((768,), float("inf")))
        return adapter

    return _save(Step("Train IP-Adapter", make=make))


def no_room_for_an_adapter(shop: Workshop) -> Step:
    """The disk is full."""
    return _without_room(_save(shop.adapter()), "Save IP-Adapter")


def _train(shop: Workshop, **inputs: Any) -> Step:
    """*Train IP-Adapter*, for a step."""
    given = {
        "model": shop.checkpoint(), "ip_adapter": shop.adapter(), "clip_vision": shop.encoder(), "latents": _latents(IMAGES),
        "positive": _captions(1), "references": _references(IMAGES), "steps": [1], "views": [1],
    }  # fmt: skip
    return Step("IPAdapterCoreTrain", given | inputs)


def _new(shop: Workshop, **inputs: Any) -> Step:
    return Step("IPAdapterCoreNew", {"model": shop.checkpoint(), "clip_vision": shop.encoder()} | inputs)


def _save(adapter: Step) -> Step:
    return Step("IPAdapterCoreSaveAdapter", {"ip_adapter": adapter})


def _latents(count: int) -> Step:
    return Step("VAE Encode", note=f"{count} images", make=lambda: [{"samples": torch.zeros(count, 4, 16, 16)}])


def _captions(count: int) -> Step:
    text = torch.zeros(1, 7, TEXT["SD1.5"])
    return Step("CLIP Text Encode", note=f"{count} captions", make=lambda: [[[text, {}] for _ in range(count)]])


def _references(count: int) -> Step:
    noise = torch.rand(count, 96, 96, 3, generator=torch.Generator().manual_seed(1))
    return Step("Load Image", note=f"{count} images", make=lambda: [noise])


def _changed(shop: Workshop, note: str, change: Callable[[Any], None]) -> Step:
    """A checkpoint that something was done to."""

    def make() -> Any:
        model = shop.checkpoint().value()
        with torch.no_grad():
            change(model)
        return model

    return Step("Load Checkpoint", note=note, make=make)


def _without_room(step: Step, title: str) -> Step:
    def no_room(*_args: Any) -> None:
        raise OSError(28, "No space left on device")

    def make() -> Any:
        with patch.object(whole_file, "save_file", no_room):
            return step.value()

    return Step(title, note="while the disk is full", make=make)


TRAINING_GRAPHS = (
    too_few_images, captions_missing, references_missing, nothing_to_look_at, an_encoder_of_another_width,
    latents_that_are_none, captions_as_text, an_adapter_that_reads_faces, a_base_that_carries_no_gradients,
    a_base_that_is_for_sampling_alone,
    a_loss_that_is_no_number, a_base_that_is_changed_meanwhile, no_bitsandbytes, no_room_for_a_checkpoint, a_broken_checkpoint,
    a_new_adapter_for_an_unknown_model, a_new_adapter_for_quantised_text_layers, a_new_adapter_of_an_odd_width,
    an_encoder_without_the_feature, weights_that_are_no_numbers, no_room_for_an_adapter,
)  # fmt: skip
