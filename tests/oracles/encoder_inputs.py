"""What an image encoder makes of pixels as ComfyUI prepares them, without a line of the pack."""

import torch


def rand(*shape, seed=1):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def hidden(encoder, normal):
    with torch.inference_mode():
        return encoder.model(pixel_values=normal, intermediate_output=-2)


def normalised(encoder, picture):
    """Centre crop of an image that is as high as wide already, resized and rounded as ComfyUI does."""
    from comfy.clip_vision import clip_preprocess

    return clip_preprocess(picture, size=encoder.image_size, mean=encoder.image_mean, std=encoder.image_std)
