"""How programs call the old nodes as Python objects: the methods' names, the order of their arguments, their results.

Source: ComfyUI_IPAdapter_plus from 414486b (2023-09-03) to 9d076a3 (2025-02-26), whose history has every order.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

IMAGES = frozenset(
    ("image", "image_negative", "image_style", "image_composition", "image_optional", "attn_mask", "mask", "embeds",
     "pos_embed", "neg_embed", "embed1", "embed2", "embed3", "embed4", "embed5", "clip_vision_mask",
     "image_1", "image_2", "image_3", "image_4")
)  # fmt: skip
RENAMED = {"weight_v2": "weight_faceidv2"}


class Method(NamedTuple):
    """A method's name, its arguments in order, the newest order first, how many results it gives, and its own defaults."""

    name: str
    orders: tuple[tuple[str, ...], ...]
    results: int = 1
    defaults: Mapping[str, Any] = {}

    def inputs(self, given: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments by name; those that are None are left out. Raises `TypeError` as Python does."""
        order = next((order for order in self.orders if fits(order, given)), self.orders[0])
        if len(given) > len(order):
            raise TypeError(f"{self.name}() takes {len(order)} arguments, {len(given)} were given")
        placed = dict(zip(order, given, strict=False))
        if twice := placed.keys() & named.keys():
            raise TypeError(f"{self.name}() got several values for {', '.join(sorted(twice))}")
        there = {name: value for name, value in (placed | dict(named)).items() if value is not None}
        return dict(self.defaults) | {RENAMED.get(name, name): value for name, value in there.items()}


def fits(order: tuple[str, ...], given: tuple[Any, ...]) -> bool:
    """Whether images stand where the order has them, and nothing else does."""
    places = zip(order, given, strict=False)
    return all(value is None or (name in IMAGES) == isinstance(value, Tensor) for name, value in places)


def method(name: str, *orders: str, results: int = 1, **defaults: Any) -> Method:
    """A row of the table; arguments are words."""
    return Method(name, tuple(tuple(order.split()) for order in orders), results, defaults)


APPLY = method(
    "apply_ipadapter",
    "model ipadapter start_at end_at weight weight_style weight_composition expand_style weight_type combine_embeds "
    "weight_faceidv2 image image_style image_composition image_negative clip_vision attn_mask insightface embeds_scaling "
    "layer_weights ipadapter_params encode_batch_size style_boost composition_boost enhance_tiles enhance_ratio "
    "weight_kolors",
    "model ipadapter image weight weight_type start_at end_at combine_embeds weight_faceidv2 image_negative clip_vision "
    "attn_mask insightface embeds_scaling",
    results=2,
)
SIMPLE = method(
    "apply_ipadapter",
    "model ipadapter image weight start_at end_at weight_type attn_mask",
    "model ipadapter image weight start_at end_at attn_mask",
    results=2,
)
TILED = method(
    "apply_tiled",
    "model ipadapter image weight weight_type start_at end_at sharpening combine_embeds image_negative attn_mask "
    "clip_vision embeds_scaling encode_batch_size",
    results=3,
)
EMBEDS = method(
    "apply_ipadapter",
    "model ipadapter pos_embed weight weight_type start_at end_at neg_embed attn_mask clip_vision embeds_scaling",
    results=2,
)
LOAD_PRESET = method("load_models", "model preset lora_strength provider ipadapter", results=2)
LOAD_FILE = method("load_ipadapter_model", "ipadapter_file")
LOAD_FACES = method("load_insightface", "provider model_name")
ENCODE = method("encode", "ipadapter image weight mask clip_vision", results=2)
COMBINE_EMBEDS = method("batch", "embed1 method embed2 embed3 embed4 embed5")
SAVE = method("save", "embeds filename_prefix")
LOAD = method("load", "embeds")
NOISE = method("make_noise", "type strength blur image_optional")
PREPARE = method("prep_image", "image interpolation crop_position sharpening")
WEIGHTS = method(
    "weights",
    "weights timing frames start_frame end_frame add_starting_frames add_ending_frames method weights_strategy image",
    results=6,
    weights="0.0",
    timing="custom",
)
PROMPT_SCHEDULE = method("prompt_schedule", "weights_strategy prompt")
COMBINE_WEIGHTS = method("combine", "weights_1 weights_2", results=2)
REGION = method(
    "conditioning",
    "image image_weight prompt_weight weight_type start_at end_at mask positive negative",
    results=3,
)
COMBINE_PARAMS = method("combine", "params_1 params_2 params_3 params_4 params_5")
FIRST_APPLY = method(
    "apply_ipadapter",
    "ipadapter model weight clip_vision image weight_type noise embeds attn_mask start_at end_at unfold_batch insightface "
    "faceid_v2 weight_v2 clip_vision_mask short_side_tiles tile_weight tile_blur",
)
FIRST_BATCH = method("batch", "embed1 embed2")
FIRST_ENCODE = method(
    "preprocess",
    "clip_vision image_1 ipadapter_plus noise weight_1 image_2 image_3 image_4 weight_2 weight_3 weight_4",
)
FIRST_FACES = method("load_insight_face", "provider")
FIRST_PREPARE = method("prep_image", "image crop_position sharpening pad_around")
