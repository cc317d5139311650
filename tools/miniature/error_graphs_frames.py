"""Workflows that provoke each error about regions and frames."""

from types import SimpleNamespace

import torch
from pack.tools.miniature.executing import Step
from pack.tools.miniature.files import Workshop


def no_words_in_any_region(shop: Workshop) -> Step:
    """The second output is used, and there is nothing to say."""
    nothing = Step("a conditioning without entries", make=list)
    given = {"regions": "1", "regions.image_prompt_1": shop.encoded(shop.adapter()), "regions.weight_1": 1.0}
    return Step("IPAdapterCoreRegions", given | {"positive": nothing})


def a_start_after_the_end(shop: Workshop) -> Step:
    """Frames that run backwards."""
    return Step("IPAdapterCoreFrameWeights", {"start_frame": 10, "end_frame": 4, "frames": 12, "timing": "linear"})


def one_reference_to_fade(shop: Workshop) -> Step:
    """There is nothing to fade into."""
    given = {"image_prompt": shop.encoded(shop.adapter()), "weights": "1, 0", "method": "shift batches"}
    return Step("IPAdapterCoreReferencesOverFrames", given)


def a_schedule_on_clip(shop: Workshop) -> Step:
    """A prompt that is two conditionings, as hooks on CLIP make it."""
    two = [[torch.zeros(1, 4, 8), {}], [torch.zeros(1, 4, 8), {}]]
    clip = SimpleNamespace(tokenize=str, encode_from_tokens_scheduled=lambda _: two)
    return Step(
        "IPAdapterCorePromptsOverFrames", {"clip": Step("Set CLIP Hooks", make=lambda: clip), "prompts": "a star"}
    )
