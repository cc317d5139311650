"""Prompts over miniature files for a live server, and what comes out of them as tensors."""

import torch
from safetensors.torch import load

LATENT, TEXT, APPLY = "latent", "text", "apply"


def link(name, slot=0):
    """A connection to a node's output."""
    return [name, slot]


def node(kind, /, **inputs):
    """One entry of a prompt."""
    return {"class_type": kind, "inputs": inputs}


def picture(seed=3):
    """A drawn reference."""
    words = dict.fromkeys(
        ("shape", "object_colour", "background_colour", "object_texture", "background_texture"), "any"
    )
    return node("DemoWorldPicture", seed=seed, size=64, batch_size=1, **words)


def sampled(model, width, pooled=0, channels=4, batch=1, steps=2):
    """A sampler on `model`, from an empty latent of 8 by 6 to a saved file."""
    kind = "EmptyLatentImage" if channels == 4 else "EmptySD3LatentImage"
    return {
        "positive": node("TinyText", width=width, pooled=pooled, seed=1),
        "negative": node("TinyText", width=width, pooled=pooled, seed=2),
        LATENT: node(kind, width=64, height=48, batch_size=batch),
        "sampler": node(
            "KSampler", model=model, positive=link("positive"), negative=link("negative"), latent_image=link(LATENT),
            seed=7, steps=steps, cfg=2.0, sampler_name="euler", scheduler="simple", denoise=1.0,
        ),
        "save": node("SaveLatent", samples=link("sampler"), filename_prefix="tiny"),
    }  # fmt: skip


def applied(model, adapter, prompt, **inputs):
    """Apply IP-Adapter at its defaults but for `inputs`."""
    values = {"weight": 1.0, "start_percent": 0.0, "end_percent": 1.0} | inputs
    return {APPLY: node("IPAdapterCoreApply", model=model, ip_adapter=adapter, image_prompt=prompt, **values)}


def latent(client, outputs) -> torch.Tensor:
    """The saved latent of a run."""
    (entry,) = outputs["save"]["latents"]
    return load(client.picture(entry))["latent_tensor"]


def said(outputs, name) -> str:
    """The text on a node's face."""
    return "\n".join(outputs[name]["text"])
