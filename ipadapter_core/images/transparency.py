"""What a transparent image looks like, by one rule: it lies on a neutral grey."""

import torch
from torch import Tensor

GREY = (0.48145466, 0.4578275, 0.40821073)  # the mean of CLIP's training images, which its encoders see as zero


def laid_on_grey(images: Tensor, grey: Tensor | None = None) -> Tensor:
    """Images (B, H, W, 4) with alpha as (B, H, W, 3) on a grey (3), images without alpha as they are.

    Colours are laid on before anything is resized, so that what is hidden never shows. Where an encoder looks at the image
    the grey is its own mean, elsewhere `GREY`.
    """
    if images.shape[-1] < 4:
        return images
    alpha = images[..., 3:4]
    behind = torch.tensor(GREY) if grey is None else grey
    return images[..., :3] * alpha + behind.to(images) * (1 - alpha)
