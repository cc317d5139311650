"""Workflows that provoke each error about an image, a mask, a number or a text that another node gave."""

from typing import Any

import torch
from pack.tools.miniature.executing import Step
from pack.tools.miniature.files import Workshop
from torch import Tensor


def latents_for_an_image(shop: Workshop) -> Step:
    """Another pack's node with a socket of the wrong type."""
    return _encoded(shop, image=_given({"samples": torch.zeros(1, 4, 8, 8)}))


def no_image_in_the_batch(shop: Workshop) -> Step:
    """A selection that selected nothing."""
    return _encoded(shop, image=_given(torch.zeros(0, 64, 64, 3)))


def an_image_of_whole_numbers(shop: Workshop) -> Step:
    """Nobody can know what 255 means there."""
    return _encoded(shop, image=_given((_noise(1, 64, 64, 3) * 255).int()))


def an_image_of_0_to_255(shop: Workshop) -> Step:
    """Another pack's node that forgot to divide."""
    return _encoded(shop, image=_given(torch.full((1, 64, 64, 3), 255.0)))


def an_image_with_nan(shop: Workshop) -> Step:
    """A VAE in half precision makes such."""
    return _encoded(shop, image=_given(torch.full((1, 64, 64, 3), float("nan"))))


def channels_first(shop: Workshop) -> Step:
    """As torch has images, not as ComfyUI has them."""
    return _encoded(shop, image=_given(torch.zeros(1, 3, 64, 64)))


def one_image_without_its_batch(shop: Workshop) -> Step:
    """Three dimensions."""
    return _encoded(shop, image=_given(torch.zeros(64, 64, 3)))


def a_video_as_an_image(shop: Workshop) -> Step:
    """Five dimensions."""
    return _encoded(shop, image=_given(torch.zeros(1, 2, 64, 64, 3)))


def an_image_of_two_channels(shop: Workshop) -> Step:
    """Neither grey nor colours."""
    return _encoded(shop, image=_given(torch.zeros(1, 64, 64, 2)))


def an_image_as_a_mask(shop: Workshop) -> Step:
    """The wrong output of Load Image."""
    return _encoded(shop, mask=_given(torch.zeros(1, 64, 64, 3)))


def more_tiles_than_can_be_encoded(shop: Workshop) -> Step:
    """An image of one row."""
    given = {"ip_adapter": shop.adapter(), "image": _given(torch.zeros(1, 1, 4096, 3)), "clip_vision": shop.encoder()}
    return Step("IPAdapterCoreEncodeTiled", given | {"tiles": 4})


def embeds_with_nan(shop: Workshop) -> Step:
    """From another pack's encoder."""
    given = {"model": shop.checkpoint(), "ipadapter": shop.adapter()}
    return Step("IPAdapterEmbeds", given | {"pos_embed": _given(torch.full((1, 1024), float("nan")))})


def a_weight_that_is_no_number(shop: Workshop) -> Step:
    """From a node that computes weights."""
    return shop.applied(shop.checkpoint(), shop.adapter(), weight=_given(float("nan")))


def a_row_of_no_weights(shop: Workshop) -> Step:
    """A list for a node that takes a weight for each image."""
    nothing = Step("a node of another pack", note="weights", make=lambda: [])
    given = {"model": shop.checkpoint(), "ipadapter": shop.adapter(), "image": shop.picture(), "weight": nothing}
    return Step("IPAdapterBatch", given)


def more_frames_than_a_film(shop: Workshop) -> Step:
    """From a node that counts."""
    return Step("IPAdapterCoreFrameWeights", {"weights": "1, 0", "timing": "linear", "frames": _given(10**9)})


def a_curve_without_values_between_its_points(shop: Workshop) -> Step:
    """As a widget stores it."""
    curve = _given({"points": [[0.0, 1.0], [1.0, 0.0]], "interpolation": "linear"})
    return Step("IPAdapterCoreWeightSchedule", {"preset": "ease out", "points": "", "curve": curve})


def a_note_that_no_file_can_hold(shop: Workshop) -> Step:
    """Half a surrogate."""
    return Step(
        "IPAdapterCoreSave", {"image_prompt": shop.encoded(shop.adapter()), "filename_prefix": "a", "note": "\ud83d"}
    )


def a_name_outside_of_the_output_folder(shop: Workshop) -> Step:
    """Two folders up."""
    return Step("IPAdapterCoreSave", {"image_prompt": shop.encoded(shop.adapter()), "filename_prefix": "../../prompt"})


def scores_that_are_no_json(shop: Workshop) -> Step:
    """A table where JSON is asked for."""
    run = Step("Record Attention", note="a run", make=lambda: None)
    given = {"images": shop.picture(), "run": run, "filename_prefix": "a"}
    return Step("IPAdapterCoreSaveTrace", given | {"scores": _given("balanced: nan")})


def _encoded(shop: Workshop, **inputs: Any) -> Step:
    return shop.encoded(shop.adapter(), **inputs)


def _given(value: Any) -> Step:
    """What a node of another pack hands on."""
    note = f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
    return Step("a node of another pack", note=note, make=lambda: value)


def _noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


INPUT_GRAPHS = (
    latents_for_an_image, no_image_in_the_batch, an_image_of_whole_numbers, an_image_of_0_to_255, an_image_with_nan,
    channels_first, one_image_without_its_batch, a_video_as_an_image, an_image_of_two_channels, an_image_as_a_mask,
    embeds_with_nan, more_tiles_than_can_be_encoded, a_weight_that_is_no_number, a_row_of_no_weights, more_frames_than_a_film,
    a_curve_without_values_between_its_points, a_note_that_no_file_can_hold, a_name_outside_of_the_output_folder,
    scores_that_are_no_json,
)  # fmt: skip
