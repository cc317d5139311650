"""Wan 2.1 and 2.2: attention to image tokens beside the text's, with the cross-attention's own normalised query.

    x = W_o( Attn(q, K_text, V_text) + [Attn(q, K_clip, V_clip)] + weight * mask * Attn(q, K, V) ),  q = norm_q(W_q x)

ComfyUI has no hook in there, so each block's cross-attention has one of its module's own, which lets its attention pass
through ours for the length of that call. Image-to-video models attend twice, once to the image's tokens of their own
(K_clip): ours is added beside the text. Wan's cross-attention rotates nothing.
Source: bytedance/lynx (3a6a91a), modules/lite/attention_processor.py and modules/full/attention_processor.py.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import comfy.ldm.modules.attention
from comfy.ldm.wan.model import WanI2VCrossAttention, WanModel
from comfy.model_patcher import ModelPatcher

from ...adapter.lynx_layers import WAN_EPS
from ...adapter.managed import ManagedAdapter
from ...checkpoint.spec import AdapterSpec, LayerKind
from ...errors import ModelMismatchError
from ...sampling.application import Application, Block
from ...sampling.batch_layout import BatchLayout
from ...sampling.layer_call import add_in_place, attend
from ...sampling.layer_slot import Slots, slots_by_block
from ...sampling.plan import ModelCallPlan
from ...sampling.run import Run, Step
from ..hooks.attention_inputs import plain_tensor
from ..hooks.batch_layout import LAYOUT, layout_of
from ..hooks.hook_cache import cached_hooks
from ..hooks.hook_support import check_offers
from ..hooks.model_call import OVERRIDE, plan_of
from ..hooks.module_hooks import BEFORE, add_hook, remove_hooks
from ..hooks.video_plan import VideoPlan, video_frames, video_plan
from ..hooks.wrappers import PLAN, STEP, CallState, Options
from .family import Family

MODELS = (WanModel,)
PLACE = "block"
AS_IT_IS, UNDER_NORM = 0, 1  # the last number of a place: keys as they are, or under the gain of the model's own norm
EVERY = {LayerKind.WIDE_NORM: (2, AS_IT_IS), LayerKind.MODEL_NORM: (1, UNDER_NORM)}  # n-th block, and how
BOTH_SIDES = "SCAIL"  # how the names of models begin that have tokens before and behind the video's


def blocks_for(spec: AdapterSpec, network: WanModel) -> tuple[Block, ...]:
    """Where each layer of the adapter acts: in every block, or every second.

    Raises `ModelMismatchError` unless the model has the adapter's layers and width, and this ComfyUI the hook.
    """
    check_offers(comfy.ldm.modules.attention, (OVERRIDE,), spec)
    blocks = network.blocks
    step, place = EVERY[spec.layer_kind]
    normed = all(isinstance(getattr(block.cross_attn.norm_k, "weight", None), Tensor) for block in blocks)
    widths = {layer.width for layer in spec.layers}
    if len(range(0, len(blocks), step)) != len(spec.layers) or widths != {network.dim} or not normed:
        raise ModelMismatchError(
            f"{spec.file} is for {spec.base.value} ({len(spec.layers)} layers of width {spec.layers[0].width}, in every "
            f"{'second block' if step > 1 else 'block'}), but the model has {len(blocks)} blocks of width {network.dim}: load "
            "Wan 2.1 or 2.2 with 14B parameters, another file in Load IP-Adapter, or give the image to "
            "WanImageToVideo, WanVaceToVideo or WanPhantomSubjectToVideo instead"
        )
    return tuple((PLACE, number, place) for number in range(0, len(blocks), step))


@dataclass(frozen=True, eq=False)
class CrossAttention:
    """A hook of a block's cross-attention, so that it holds none: lets this call's attention pass through ours."""

    number: int

    def __call__(self, module: Any, args: tuple[Any, ...], kwargs: Options) -> tuple[tuple[Any, ...], Options] | None:
        """Tokens (B, L, D) and text (B, T, D), with the image's own tokens first in image-to-video models."""
        options: Options = kwargs.get("transformer_options") or {}
        plan: VideoPlan | None = options.get(PLAN)
        places = tuple((PLACE, self.number, place) for place in (AS_IT_IS, UNDER_NORM))
        if plan is None or not plan.acts(*places):
            return None
        plan.pending[places[0]] = True  # until our attention has been asked
        override = ImageAttention(self.number, module, options.get(OVERRIDE), _own_branch(module, args, kwargs))
        return args, kwargs | {"transformer_options": options | {OVERRIDE: override}}


class OwnBranch:
    """Tells a model's attention to its own image tokens from that to the text: by their number, or where there are as many,
    it is the first.
    """

    def __init__(self, tokens: int, text: int):
        self.tokens, self.text, self.first = tokens, text, True

    def is_asked(self, key: Tensor) -> bool:
        """Whether this key (B, T, D) is the branch's; asked once for each attention."""
        first, self.first = self.first, False
        return key.shape[1] == self.tokens and (first or self.tokens != self.text)


def _own_branch(module: Any, args: tuple[Any, ...], kwargs: Options) -> OwnBranch | None:
    """The branch of an image-to-video model's cross-attention; without an image's tokens it reads the text as well."""
    if not isinstance(module, WanI2VCrossAttention):
        return None
    tokens = (kwargs["context"] if "context" in kwargs else args[1]).shape[1]
    image: int | None = kwargs.get("context_img_len")
    return OwnBranch(tokens, tokens) if image is None else OwnBranch(image, tokens - image)


@dataclass(frozen=True, eq=False)
class ImageAttention:
    """One call of a block's cross-attention: by whoever had it, then each application's part, once."""

    number: int
    module: Any
    previous: Any
    branch: OwnBranch | None

    def __call__(self, function: Any, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> Tensor:
        """(B, L, D) for each -> (B, L, D)."""
        asked, image = plain_tensor(query), self.branch is not None and self.branch.is_asked(plain_tensor(key))
        if self.previous is None:
            out = function(query, key, value, *args, **kwargs)
        else:
            out = self.previous(function, query, key, value, *args, **kwargs)
        if image:
            return out
        plan: VideoPlan = kwargs["transformer_options"][PLAN]
        plan.pending.pop((PLACE, self.number, AS_IT_IS), None)
        exclusive = plan.output_is_exclusive and self.previous is None and not torch.is_grad_enabled()
        for place in (AS_IT_IS, UNDER_NORM):
            block = (PLACE, self.number, place)
            if plan.acts(block):
                turned = asked if place == AS_IT_IS else asked * _gain(self.module.norm_k, asked)
                out, exclusive = _added(out, turned, self.module.num_heads, plan, block, exclusive), True
        return out


def _gain(norm: nn.Module, like: Tensor) -> Tensor:
    """The weight (D) of a norm, asked of the norm itself, however ComfyUI keeps it."""
    return norm(like.new_ones(like.shape[-1])) * (1 + WAN_EPS) ** 0.5


def _added(out: Tensor, query: Tensor, heads: int, plan: VideoPlan, block: Block, exclusive: bool) -> Tensor:
    """`out` (B, L, D) with what all applications add at one place; itself where nobody else holds it."""
    asked, call = plan.asked(query, heads)
    found = asked.key_values(block, call)
    if not found:
        return out
    out = out.contiguous() if exclusive else out.clone(memory_format=torch.contiguous_format)
    rows = out.view(call.query.shape)
    for _, key_value in found:
        add_in_place(rows, attend(call.query, key_value, heads))
    return out


def compose(applications: list[Application], options: Options, run: Run, state: CallState) -> Options:
    """Options with the plan that the blocks ask; kept hooks are the slots alone."""
    slots: Slots = cached_hooks(run, applications, {}, lambda: slots_by_block(applications))
    step: Step = options[STEP]
    layout = options[LAYOUT] if LAYOUT in options else layout_of(options, step)

    def planned(other: BatchLayout) -> ModelCallPlan:
        return plan_of(applications, options | {LAYOUT: other}, slots)

    frames = video_frames(options, layout.clip)
    return options | {PLAN: video_plan(planned(layout), frames, _front(state.network), planned)}


def _front(network: Any) -> bool | None:
    """Whether a frame of tokens that is no frame of the video stands before those; None for models that have some on both
    sides.
    """
    if type(network).__name__.startswith(BOTH_SIDES):
        return None
    return getattr(network, "ref_conv", None) is not None


def prepare(model: ModelPatcher, _adapter: ManagedAdapter) -> ModelPatcher:
    """A clone whose blocks can be added to, once."""
    prepared = model.clone()
    for number in range(len(model.get_model_object("diffusion_model").blocks)):
        add_hook(prepared, f"diffusion_model.blocks.{number}.cross_attn", BEFORE, CrossAttention(number))
    return prepared


WAN = Family(MODELS, blocks_for, compose, prepare, remove_hooks)
