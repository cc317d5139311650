"""Our guider beside the published sums, on the short model with two references of their own nodes."""

import torch
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.image_guider import ImageGuider
from pack.ipadapter_core.prompt.combine import combine, weigh
from pack.ipadapter_core.sampling.image_guidance import GuidanceOrder, ImageGuidance
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.recorded_passes import picture, prompt_of, text

POSITIVE, NEGATIVE = text(0), text(1)
LEFT = (torch.arange(16) < 6).float().expand(1, 16, 16)


def two_references(model, adapter, **more):
    """One with a mask of its own beside one without, in a node; a third in a node of its own."""
    both = combine([weigh(prompt_of(picture(2)), 0.7, LEFT), prompt_of(picture(3))])
    patched = apply_image_prompt(model, adapter, both, Strength(0.9, **more))
    return apply_image_prompt(patched, adapter, prompt_of(picture(4)), Strength(0.5, **more))


def ours(model, scales, order, texts=(POSITIVE, NEGATIVE), kind=ImageGuider):
    """Our guider, with scales for text and image."""
    guider = kind(model)
    guider.set_conds(*texts)
    guider.set_guidance(ImageGuidance(*scales, GuidanceOrder(order)))
    return guider
