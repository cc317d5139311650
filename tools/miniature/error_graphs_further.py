"""Workflows that provoke each error about regions, frames, comparisons, and the nodes for old workflows."""

from types import SimpleNamespace

import torch
from pack.ipadapter_core.diagnostics.recording import MapKey
from pack.ipadapter_core.diagnostics.sweep import read_sweep
from pack.ipadapter_core.sampling.application import Application
from pack.tools.miniature.error_graphs_frames import (
    a_schedule_on_clip,
    a_start_after_the_end,
    no_words_in_any_region,
    one_reference_to_fade,
)
from pack.tools.miniature.executing import Step
from pack.tools.miniature.files import Workshop

PICTURE = torch.zeros(1, 16, 16, 3)

BLOCKS = (("input", 1, 0), ("middle", 0, 0))


def nothing_was_watched(shop: Workshop) -> Step:
    """Attention Maps before any run."""
    watched = Step("IPAdapterCoreWatch", {"model": shop.checkpoint()}, slot=1)
    return Step("IPAdapterCoreAttentionMaps", {"run": watched, "image": shop.picture()})


def nothing_to_trace(shop: Workshop) -> Step:
    """Save Image with Metadata before any run."""
    watched = Step("IPAdapterCoreWatch", {"model": shop.checkpoint()}, slot=1)
    return Step("IPAdapterCoreSaveTrace", {"images": shop.picture(), "run": watched})


def maps_of_silent_blocks(shop: Workshop) -> Step:
    """Blocks whose weights were 0."""
    return _maps(shop, "input 1")


def maps_of_blocks_that_are_not_there(shop: Workshop) -> Step:
    """The model has no such block."""
    return _maps(shop, "input 12")


def an_empty_sweep(shop: Workshop) -> Step:
    """No weights to compare."""
    return _sweep(shop, "", "linear")


def a_sweep_without_end(shop: Workshop) -> Step:
    """More images than anybody wants."""
    return _sweep(shop, ", ".join(["1"] * 200), "linear")


def a_sweep_of_an_unknown_preset(shop: Workshop) -> Step:
    """A name that Layer Weights does not have."""
    return _sweep(shop, "0, 1", "cubism")


def a_grid_of_other_images(shop: Workshop) -> Step:
    """Three images of a sweep of two."""
    given = {"images": _images(3), "sweep": _swept(), "tile": [64], "pictures": [1]}
    return Step("IPAdapterCoreGrid", given)


def scores_of_other_images(shop: Workshop) -> Step:
    """Three images of a sweep of two."""
    return _score(images=_images(3), sweep=_swept())


def scores_of_another_scorer(shop: Workshop) -> Step:
    """Two numbers for one image."""
    return _score(prompt_scores=Step("another scorer", make=lambda: [0.2, 0.3]))


def a_prompt_without_an_encoder(shop: Workshop) -> Step:
    """Text and images are compared in an image encoder's space."""
    return _score(clip=Step("Load CLIP", make=lambda: [object()]))


def two_ways_to_score_the_prompt(shop: Workshop) -> Step:
    """A CLIP and another scorer's numbers."""
    scorer = Step("another scorer", make=lambda: [0.2])
    return _score(clip=Step("Load CLIP", make=lambda: [object()]), prompt_scores=scorer, clip_vision=_vision(shop))


def a_clip_without_a_projection(shop: Workshop) -> Step:
    """Its text features do not lie in the image encoder's space."""
    clip = SimpleNamespace(tokenize=lambda _: {}, cond_stage_model=torch.nn.Module(), patcher=None)
    return _score(clip=Step("Load CLIP", note="T5", make=lambda: [clip]), clip_vision=_vision(shop))


def an_old_node_without_an_image(shop: Workshop) -> Step:
    """What is connected gives nothing, as a switch of another pack may."""
    nothing = Step("a switch of another pack", make=lambda: None)
    return Step("IPAdapterAdvanced", _old(shop) | {"image": nothing, "clip_vision": shop.encoder()})


def an_old_node_without_an_encoder(shop: Workshop) -> Step:
    """*IPAdapter Model Loader* brings none."""
    return Step("IPAdapterEncoder", {"ipadapter": _pipeline(shop), "image": shop.picture()})


def an_old_node_on_something_else(shop: Workshop) -> Step:
    """The new adapter socket's contents in an old node, by a program."""
    return Step("IPAdapterEncoder", {"ipadapter": shop.adapter(), "image": shop.picture()})


def old_embeds_of_faces(shop: Workshop) -> Step:
    """Embeds hold images alone."""
    loader = _pipeline(shop, shop.face_adapter("faceid.safetensors", "FaceID"))
    return Step("IPAdapterEncoder", {"ipadapter": loader, "image": shop.picture()})


def old_embeds_of_two_kinds(shop: Workshop) -> Step:
    """Of a base and of a plus adapter."""
    one, two = (Step("IPAdapter Encoder", make=lambda n=n: torch.zeros(1, n)) for n in (1024, 1280))
    return Step("IPAdapterCombineEmbeds", {"embed1": one, "embed2": two, "method": "concat"})


def old_style_and_composition_on_sd15(shop: Workshop) -> Step:
    """As it was, it was for SDXL only."""
    given = {"image_style": shop.picture("a drawing"), "image_composition": shop.picture("a cat")}
    given |= {"clip_vision": shop.encoder(), "results": "as IPAdapter_plus"}
    return Step("IPAdapterStyleComposition", _old(shop) | given)


def an_old_face_node_without_a_face(shop: Workshop) -> Step:
    """No image shows anybody."""
    nobody = SimpleNamespace(det_model=SimpleNamespace(input_size=(640, 640)), get=lambda _: [])
    loader = _pipeline(shop, shop.face_adapter("faceid.safetensors", "FaceID"))
    given = {"model": shop.checkpoint(), "ipadapter": loader, "image": shop.picture()}
    insightface = Step("IPAdapter InsightFace Loader", make=lambda: nobody)
    return Step("IPAdapterFaceID", given | {"insightface": insightface, "results": "corrected"})


def _maps(shop: Workshop, blocks: str) -> Step:
    application = Application(BLOCKS, (), ())
    spot = MapKey(application, ("middle", 0), (2, 2), (2, 2), None, (0,))  # type: ignore[arg-type]
    notes = SimpleNamespace(sums={spot: None}, run=SimpleNamespace(applications=[application]))
    watched = Step("Record Attention", note="after a run with input blocks at 0", make=lambda: notes)
    return Step("IPAdapterCoreAttentionMaps", {"run": watched, "image": shop.picture(), "blocks": blocks})


def _sweep(shop: Workshop, weights: str, presets: str) -> Step:
    adapter = shop.adapter()
    given = {"model": shop.checkpoint(), "ip_adapter": adapter, "image_prompt": shop.encoded(adapter)}
    return Step("IPAdapterCoreSweep", given | {"weights": weights, "presets": presets})


def _swept() -> Step:
    return Step("Sweep IP-Adapter", note="weights 0, 1", make=lambda: [read_sweep("0, 1", "linear")])


def _images(count: int) -> Step:
    return Step("VAE Decode", note=f"{count} images", make=lambda: [PICTURE] * count)


def _vision(shop: Workshop) -> Step:
    return Step("Load CLIP Vision", note="ViT-H", make=lambda: [shop.encoder().value()])


def _score(**inputs: Step) -> Step:
    return Step("IPAdapterCoreScore", {"images": _images(1), "prompt": ["a star"]} | inputs)


def _pipeline(shop: Workshop, adapter: Step | None = None) -> Step:
    from pack.ipadapter_core.compat.pipeline import Pipeline

    loaded = adapter or shop.adapter()
    return Step("IPAdapter Model Loader", note="no image encoder", make=lambda: Pipeline(loaded.value()))


def _old(shop: Workshop) -> dict[str, Step]:
    return {"model": shop.checkpoint(), "ipadapter": _pipeline(shop)}


FURTHER_GRAPHS = (
    no_words_in_any_region, a_start_after_the_end, one_reference_to_fade, a_schedule_on_clip, nothing_was_watched,
    nothing_to_trace, maps_of_silent_blocks, maps_of_blocks_that_are_not_there, an_empty_sweep, a_sweep_without_end,
    a_sweep_of_an_unknown_preset,
    a_grid_of_other_images, scores_of_other_images, scores_of_another_scorer, a_prompt_without_an_encoder,
    two_ways_to_score_the_prompt, a_clip_without_a_projection, an_old_node_without_an_image,
    an_old_node_without_an_encoder, an_old_node_on_something_else, old_embeds_of_faces, old_embeds_of_two_kinds,
    old_style_and_composition_on_sd15, an_old_face_node_without_a_face,
)  # fmt: skip
