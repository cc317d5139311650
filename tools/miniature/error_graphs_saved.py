"""Workflows that provoke each error about saved image prompts: safetensors, PNGs, and embeds of another pack."""

import torch
from pack.ipadapter_core.checkpoint.enums import Feature
from pack.ipadapter_core.prompt.files import FORMAT, save_prompt
from pack.ipadapter_core.prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from pack.tools.miniature.executing import Step
from pack.tools.miniature.files import Workshop
from PIL import Image
from safetensors.torch import save_file


def no_saved_prompt(shop: Workshop) -> Step:
    """Another safetensors file."""
    save_file({"a": torch.zeros(1)}, shop.place("image_prompts", "lora.safetensors"))
    return _load("lora.safetensors")


def a_broken_saved_prompt(shop: Workshop) -> Step:
    """A web page under its name."""
    shop.place("image_prompts", "style.safetensors").write_bytes(b"<html>")
    return _load("style.safetensors")


def a_saved_prompt_without_references(shop: Workshop) -> Step:
    """Its metadata lists none."""
    return _saved(shop, "empty.safetensors", "[]")


def a_saved_prompt_with_a_hole(shop: Workshop) -> Step:
    """Its metadata speaks of an image that is not in it."""
    return _saved(shop, "hole.safetensors", '[{"image": 3, "weight": 1.0, "mask": null}]')


def hostile_embeds(shop: Workshop) -> Step:
    """An .ipadpt file that would run something."""
    torch.save({"run": print}, shop.place("image_prompts", "hostile.ipadpt"))
    return _load("hostile.ipadpt")


def embeds_of_nothing(shop: Workshop) -> Step:
    """An .ipadpt file that holds no features."""
    torch.save(torch.zeros(3), shop.place("image_prompts", "numbers.ipadpt"))
    return _load("numbers.ipadpt")


def embeds_with_another_negative(shop: Workshop) -> Step:
    """The negative was saved with other embeds."""
    torch.save(torch.zeros(1, 1024), shop.place("image_prompts", "style.ipadpt"))
    torch.save(torch.zeros(1, 257, 1280), shop.place("image_prompts", "negative.ipadpt"))
    return _load("style.ipadpt", negative_file="negative.ipadpt")


def an_image_without_a_prompt(shop: Workshop) -> Step:
    """An image program saved the PNG anew."""
    path = shop.place("image_prompt_images", "style.png")
    save_prompt(_prompt(8), path, shown=torch.zeros(8, 8, 3, dtype=torch.uint8))
    Image.open(path).copy().save(path)
    return Step("IPAdapterCoreLoadPromptPNG", {"image": "style.png"})


def a_damaged_prompt_in_an_image(shop: Workshop) -> Step:
    """The download ended early."""
    path = shop.place("image_prompts", "style.png")
    save_prompt(_prompt(1024), path, shown=torch.zeros(8, 8, 3, dtype=torch.uint8))
    path.write_bytes(path.read_bytes()[:4000])
    return _load("style.png")


def a_prompt_too_large_for_an_image(shop: Workshop) -> Step:
    """Features of 49 MB."""
    prompt = Step("Encode Reference Image", note="of a large image", make=lambda: _prompt(6_200_000))
    return _save(image_prompt=prompt, image=shop.picture())


def a_prompt_without_an_image_to_show(shop: Workshop) -> Step:
    """Of a face, whose features are all that is left of it."""
    return _save(image_prompt=Step("Encode Face", note="a face", make=lambda: _prompt(512)))


def _save(**inputs: Step) -> Step:
    return Step("IPAdapterCoreSave", {"filename_prefix": "style", "form": "PNG", **inputs})


def _prompt(width: int) -> ImagePrompt:
    features = torch.zeros(1, width)
    return ImagePrompt((Reference(EncodedImage(features, features)),), Feature.POOLED, "CLIP ViT-H/14")


def _load(file: str, **inputs: str) -> Step:
    return Step("IPAdapterCoreLoadPrompt", {"file": file, **inputs})


def _saved(shop: Workshop, file: str, references: str) -> Step:
    metadata = {
        "format": FORMAT,
        "feature": "image_embeds",
        "encoder": "CLIP ViT-H/14",
        "adapter": "base",
        "made_from": "",
    }
    tensors = {"image.0.features": torch.zeros(1, 8), "image.0.negative": torch.zeros(1, 8)}
    save_file(tensors, shop.place("image_prompts", file), metadata=metadata | {"references": references})
    return _load(file)


SAVED_GRAPHS = (
    no_saved_prompt, a_broken_saved_prompt, a_saved_prompt_without_references, a_saved_prompt_with_a_hole, hostile_embeds,
    embeds_of_nothing, embeds_with_another_negative, an_image_without_a_prompt, a_damaged_prompt_in_an_image,
    a_prompt_too_large_for_an_image, a_prompt_without_an_image_to_show,
)  # fmt: skip
