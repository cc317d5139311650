"""Guidance by text and image as published: each pass in a call of its own, by a guider that gives each a name of its own."""

import comfy.samplers
from comfy.sampler_helpers import convert_cond

IMAGE_FIRST, TEXT_FIRST = "image, then text", "text, then image"
ORDERS = (IMAGE_FIRST, TEXT_FIRST)


class ThreeCalls(comfy.samplers.CFGGuider):
    """Three prompts of three calls, and the sum. "middle" is a name for prompts that see the reference, "empty" is none."""

    def __init__(self, model, positive, negative, text_scale, image_scale, order):
        super().__init__(model)
        between = {"middle": negative} if order == IMAGE_FIRST else {"empty": positive}
        for role, texts in ({"positive": positive, "negative": negative} | between).items():
            self.original_conds[role] = convert_cond(texts)
        self.text_scale, self.image_scale, self.order = text_scale, image_scale, order

    def predict_noise(self, x, timestep, model_options=None, seed=None):
        def alone(role):
            (found,) = comfy.samplers.calc_cond_batch(self.inner_model, [self.conds[role]], x, timestep, model_options)
            return found

        both, uncond = alone("positive"), alone("negative")
        if self.order == IMAGE_FIRST:
            image = alone("middle")
            return uncond + self.image_scale * (image - uncond) + self.text_scale * (both - image)
        text = alone("empty")
        return uncond + self.text_scale * (text - uncond) + self.image_scale * (both - text)
