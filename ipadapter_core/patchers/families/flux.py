"""FLUX.1 and Chroma: XLabs' adapters add after each double block, InstantX' and InstantCharacter's inside every block's
attention, PuLID's behind some of the blocks.

All but the last take the block's own normalised query before its rotation, which ComfyUI hands to `attn1_patch`; what the image
tokens add is computed there and waits in the plan until the block has come to where it belongs. PuLID's ask with what a block
hands on: see `flux_behind.py`.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import comfy.ldm.flux.layers
from comfy.ldm.chroma.model import Chroma
from comfy.ldm.flux.math import apply_rope1
from comfy.ldm.flux.model import Flux

from ...adapter.own_attention import FLUX_HEAD_WIDTH
from ...attention.heads import split_heads
from ...checkpoint.spec import AdapterSpec, LayerKind
from ...errors import ModelMismatchError, SamplingError
from ...masks.token_grid import patch_grid
from ...sampling.application import Application, Block
from ...sampling.layer_call import LayerCall, Weighed, add_in_place, add_weighed
from ...sampling.layer_slot import Slots, slots_by_block
from ...sampling.plan import ModelCallPlan
from ...sampling.run import Run
from ...sampling.sequence_split import SequenceSplit
from ..hooks.attention_inputs import plain_tensor
from ..hooks.hook_cache import cached_hooks
from ..hooks.hook_support import check_offers
from ..hooks.model_call import exclusive_output, plan_of
from ..hooks.sequence_split import sequence_split
from ..hooks.wrappers import PLAN, CallState, Options
from .family import Family
from .flux_behind import BEHIND, BehindBlock
from .flux_timed import timed_source

MODELS = (Flux, Chroma)
INSIDE, AFTER = 0, 1  # the last number of a place: in a block's attention, or behind the block with its own query
ROTATION = 3  # under this number a block's rotation waits for the block's queries
PLACES: dict[LayerKind, tuple[tuple[str, int, int], ...]] = {  # of each kind of layer: kind of block, every n-th, where
    LayerKind.BIASED: (("double", 1, AFTER),),
    LayerKind.NORMED_KEY: (("double", 1, INSIDE), ("single", 1, INSIDE)),
    LayerKind.OWN: (("double", 2, BEHIND), ("single", 4, BEHIND)),
    LayerKind.OWN_NORMS: (("double", 1, INSIDE), ("single", 1, INSIDE)),
}
BY_HEAD = (LayerKind.NORMED_KEY, LayerKind.OWN_NORMS)  # whose norms are over the channels of a head


def blocks_for(spec: AdapterSpec, network: Flux | Chroma) -> tuple[Block, ...]:
    """Where each layer of the adapter acts: after blocks, or in the attention of the double and single blocks.

    Raises `ModelMismatchError` unless the model has the adapter's layers and width, and this ComfyUI the hooks.
    """
    check_offers(comfy.ldm.flux.layers, ("attn1_patch", "attn1_output_patch", "img_slice"), spec)
    double, single = len(network.double_blocks), len(network.single_blocks)
    counts = {"double": double, "single": single}
    places = [
        (kind, number, place)
        for kind, step, place in PLACES[spec.layer_kind]
        for number in range(0, counts[kind], step)
    ]
    heads = network.hidden_size // network.num_heads == FLUX_HEAD_WIDTH or spec.layer_kind not in BY_HEAD
    heads = heads and all(layer.inner % FLUX_HEAD_WIDTH == 0 for layer in spec.layers)
    if {layer.width for layer in spec.layers} != {network.hidden_size} or len(spec.layers) != len(places) or not heads:
        raise ModelMismatchError(
            f"{spec.file} is for {spec.base.value} ({len(spec.layers)} layers of width {spec.layers[0].width}), but the model "
            f"has {double} double and {single} single blocks of width {network.hidden_size}: load FLUX.1 (dev, schnell, "
            "Kontext, Fill) or Chroma, or another file in Load IP-Adapter"
        )
    return tuple(places)


@dataclass(frozen=True, eq=False)
class ImageQueries:
    """At every block's attention: computes what the image tokens add, from the query (B, H, L, D) before its rotation."""

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, extra_options: Options, pe: Any = None, **_: Any
    ) -> dict[str, Any]:
        """Leaves query, key and value as they are. Raises `SamplingError` where the block or its rotation is unknown."""
        plan: ModelCallPlan = extra_options[PLAN]
        kind: Any = extra_options.get("block_type")
        number: Any = extra_options.get("block_index")
        if kind is None or number is None:
            raise SamplingError(
                "a block of the model does not say which one it is, so that the reference cannot be added to it: take out the "
                "node or engine that replaces the model's blocks, or Apply IP-Adapter"
            )
        query, rotation = plain_tensor(q), None
        if pe is None:
            rotation = plan.pending.pop((kind, number, ROTATION), None)
        for place in (INSIDE, AFTER):
            block = (kind, number, place)
            if block not in plan.slots:
                continue
            call = _layer_call(query, extra_options, plan)
            if pe is None and plan.acts(block):
                call = call._replace(query=_turned_back(call, rotation))
            addition = plan.attend(block, call)
            if addition is not None:
                plan.pending[block] = addition
        return {}


def _layer_call(query: Tensor, options: Options, plan: ModelCallPlan) -> LayerCall:
    """(B, H, L, D / H): the image rows of a double block, all rows of a single one."""
    text = options["img_slice"][0]
    references = sum(options.get("reference_image_num_tokens", ()))
    if options["block_type"] == "double":
        query, text = query[:, :, text:], 0
    return LayerCall(query, query.shape[1], (patch_grid(plan.layout.latent),), text, references, unit=1)


def _turned_back(call: LayerCall, rotation: Tensor | None) -> Tensor:
    """The query before its rotation, which an engine has done already: the rotation (B, 1, L, D / 2, 2, 2) the other way."""
    tokens = call.query.shape[2]
    if rotation is None or rotation.shape[2] != tokens:
        raise SamplingError(
            "a block's queries come without their rotation (pe), so that it cannot be known whether they are turned already: "
            "take out the node or engine that replaces the model's blocks, or Apply IP-Adapter"
        )
    return apply_rope1(call.query, rotation.transpose(-1, -2).contiguous())


@dataclass(frozen=True, eq=False)
class ImageAttention:
    """After every block's attention: adds what waits to the rows (B, L, D) that it is for, the last ones."""

    alone: bool

    def __call__(self, attention: Tensor, extra_options: Options, **_: Any) -> Tensor:
        """(B, L, D) -> (B, L, D), before the block's own projection."""
        plan: ModelCallPlan = extra_options[PLAN]
        kind: Any = extra_options.get("block_type")
        number: Any = extra_options.get("block_index")
        block = (kind, number, INSIDE)
        addition: Weighed | None = plan.pending.pop(block, None)
        if addition is None:
            return attention
        exclusive = self.alone and exclusive_output(plan, None, extra_options) and not torch.is_grad_enabled()
        out = attention if exclusive else attention.clone()  # another pack may still hold what it returned
        heads, length = addition.out.shape[1:3]
        add_in_place(split_heads(out[:, -length:], heads), addition)
        return out


@dataclass(frozen=True, eq=False)
class ImageBlock:
    """Around one double block: adds what waits to its image tokens, outside of the block's gates and projections."""

    number: int
    previous: Any

    def __call__(self, args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        """ComfyUI's protocol of `patches_replace["dit"]`."""
        plan: ModelCallPlan = args["transformer_options"][PLAN]
        block = ("double", self.number, AFTER)
        plan.pending.pop(block, None)
        if plan.split is not None:
            plan.pending["double", self.number, ROTATION] = args.get("pe")
        out = extra["original_block"](args) if self.previous is None else self.previous(args, extra)
        plan.pending.pop(("double", self.number, ROTATION), None)
        addition: Weighed | None = plan.pending.pop(block, None)  # nothing, where another pack skipped the block
        if addition is None:
            return out
        image = add_weighed(split_heads(out["img"], addition.out.shape[1]), addition)
        return out | {"img": image.transpose(1, 2).flatten(2)}


def compose(applications: list[Application], options: Options, run: Run, state: CallState) -> Options:
    """Options in which our hooks stand around those of other packs; kept for the run's next calls."""
    replaced, patches = options.get("patches_replace", {}), options["patches"]
    foreign = replaced.get("dit", {})
    slots, hooks = cached_hooks(run, applications, foreign, lambda: _hooks(applications, foreign, sequence_split()))
    outputs = patches.get("attn1_output_patch", [])
    patches = patches | {
        "attn1_patch": [ImageQueries(), *patches.get("attn1_patch", [])],
        "attn1_output_patch": [*outputs, ImageAttention(alone=not outputs)],
    }
    replaced = replaced | {"dit": foreign | hooks}
    plan = plan_of(applications, options, slots, timed_source(applications, options, run, state))
    return options | {"patches": patches, "patches_replace": replaced, PLAN: plan}


def _hooks(
    applications: list[Application], foreign: dict[Any, Any], split: SequenceSplit | None
) -> tuple[Slots, dict[Any, Any]]:
    slots = slots_by_block(applications)
    hooks: dict[Any, Any] = {}
    for kind, number, place in sorted(
        slots, key=lambda block: block[-1]
    ):  # what is behind a block stands around the rest
        name = (f"{kind}_block", number)
        if place == AFTER or (place == INSIDE and kind == "double" and split is not None):
            hooks[name] = ImageBlock(number, foreign.get(name))
        elif place == BEHIND:
            hooks[name] = BehindBlock((kind, number, place), hooks.get(name, foreign.get(name)))
    return slots, hooks


FLUX = Family(MODELS, blocks_for, compose)
