"""SD3.5 Large: image tokens that change with the timestep, beside the image's own keys, in every joint block.

    image += weight * Attn(norm_q(q), [norm_k(k), k_image], [v, v_image]) before the block's projection, with q and k of
    the image's rows as they are before the model's own norms

The model's norms and the adapter's differ by their weights only, so what ComfyUI has already normalised is multiplied by
the ratio of the weights and nothing is projected twice.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import comfy.ldm.modules.attention
from comfy.ldm.modules.diffusionmodules.mmdit import MMDiT

from ...adapter.key_value_bank import POSITIVE
from ...adapter.layers import SD3_HEAD_WIDTH, JointLayer
from ...attention.image_attention import LayerKeyValue
from ...checkpoint.spec import AdapterSpec
from ...errors import ModelMismatchError
from ...masks.token_grid import patch_grid
from ...sampling.application import Application, Block
from ...sampling.batch_layout import BatchLayout
from ...sampling.layer_call import LayerCall, Observer, add_in_place, attend, call_mask
from ...sampling.layer_slot import LayerSlot, Slots, slots_by_block
from ...sampling.plan import ModelCallPlan
from ...sampling.prepared import PreparedApplication, per_image, select_rows
from ...sampling.run import Run, Step
from ..hooks.attention_inputs import plain_tensor
from ..hooks.batch_layout import LAYOUT
from ..hooks.hook_cache import cached_hooks
from ..hooks.hook_support import check_offers
from ..hooks.model_call import OVERRIDE, plan_of
from ..hooks.timed_tokens import TimedTokens, gain_ratio, times_each_head, tokens_of_step
from ..hooks.wrappers import IGNORES_UNKNOWN_KWARGS, LIKE, PLAN, STEP, CallState, Options
from .family import Family

MODELS = (MMDiT,)
PLACE = "block"


def blocks_for(spec: AdapterSpec, network: MMDiT) -> tuple[Block, ...]:
    """Where each layer of the adapter acts. Raises `ModelMismatchError` unless the model has its layers, width and norms."""
    check_offers(comfy.ldm.modules.attention, (OVERRIDE,), spec)
    blocks = network.joint_blocks
    normed = all(isinstance(getattr(block.x_block.attn.ln_q, "weight", None), Tensor) for block in blocks)
    twofold = any(block.x_block.x_block_self_attn for block in blocks)
    widths = {layer.width for layer in spec.layers}
    if len(blocks) != len(spec.layers) or widths != {network.hidden_size} or not normed or twofold:
        raise ModelMismatchError(
            f"{spec.file} is for {spec.base.value} ({len(spec.layers)} layers of width {spec.layers[0].width}), but the model "
            f"has {len(blocks)} blocks of width {network.hidden_size}: load SD3.5 Large, or another file in Load IP-Adapter"
        )
    return tuple((PLACE, number, 0) for number in range(len(blocks)))


@dataclass(frozen=True, eq=False)
class JointBlock:
    """Around one block: lets its attention pass through ours."""

    block: Block
    previous: Any

    def __call__(self, args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        """ComfyUI's protocol of `patches_replace["dit"]`."""
        options = args["transformer_options"]
        override = JointImageAttention(self.block, args["txt"].shape[1], options.get(OVERRIDE))
        args = args | {"transformer_options": options | {OVERRIDE: override}}
        return extra["original_block"](args) if self.previous is None else self.previous(args, extra)


@dataclass(frozen=True, eq=False)
class JointImageAttention:
    """One block's attention by whoever had it, then each application's part on the image's rows."""

    block: Block
    text: int
    previous: Any

    def __call__(self, function: Any, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """(B, L, D) or (B, L, H, D / H) for each, text rows first -> (B, L, D)."""
        base = self.previous or _as_it_is
        image = tuple(plain_tensor(part)[:, self.text :].flatten(2) for part in (query, key, value))
        heads = plain_tensor(query).shape[2] if plain_tensor(query).ndim == 4 else image[0].shape[-1] // SD3_HEAD_WIDTH
        out = base(function, query, key, value, *args, **kwargs)
        plan: ModelCallPlan = kwargs["transformer_options"][PLAN]
        call = LayerCall(image[0], heads, (patch_grid(plan.layout.latent),), own=(image[1], image[2]))
        found = plan.key_values(self.block, call)
        if not found:
            return out
        exclusive = plan.output_is_exclusive and self.previous is None and not torch.is_grad_enabled()
        out = out if exclusive else out.clone()  # another pack, or a backward pass, may still hold it
        rows = out[:, self.text :]
        for _, key_value in found:
            add_in_place(rows, attend(image[0], key_value, heads))
        return out


def _as_it_is(function: Any, *args: Any, **kwargs: Any) -> Tensor:
    return function(*args, **kwargs)


@dataclass(frozen=True, eq=False)
class JointKeys:
    """Where a block gets keys and values: those of the image's own tokens, and of the image tokens of this timestep.

    The adapter's query norm goes into the keys: softmax(q * r, k) is softmax(q, r * k) for a ratio r of each channel.
    `tokens` and `weights`, (layers, B) by layer and row of the batch, are in the order of the applications.
    """

    network: Any
    layout: BatchLayout
    tokens: tuple[TimedTokens | None, ...]
    weights: tuple[Tensor, ...]

    def __call__(
        self, slot: LayerSlot, call: LayerCall, prepared: PreparedApplication, observers: tuple[Observer, ...]
    ) -> LayerKeyValue | None:
        """Keys and values (B, L + N, D), and what the output is multiplied by."""
        application, index, timed = slot.application, slot.index, self.tokens[slot.place]
        assert application.live is not None and timed is not None and call.own is not None and call.layout is not None
        attention = self.network.joint_blocks[application.blocks[index][1]].x_block.attn
        norms: JointLayer = application.live.patcher.model.layer_at(index)
        query = gain_ratio(attention.ln_q.weight, norms.norm_q.weight, call.query)
        own = times_each_head(call.own[0], query * gain_ratio(attention.ln_k.weight, norms.norm_k.weight, call.query))
        key, value = (
            per_image(select_rows(side, prepared), call.query.shape[0])
            for side in _image_key_value(application, index, timed, call.query)
        )
        both = torch.cat((own, times_each_head(key, query)), dim=1), torch.cat((call.own[1], value), dim=1)
        rows = (
            self.weights[slot.place] if call.layout is self.layout else _weights(application, call.layout, call.query)
        )
        weight = rows[index].view(-1, 1, 1)
        own_weight = weight if prepared.weight is None else weight * prepared.weight
        for observer in observers:
            observer.note(index, call, prepared._replace(weight=own_weight), both)
        multiplier = own_weight if application.mask is None else weight * call_mask(call, prepared).factor
        return LayerKeyValue(*both, multiplier)


def _image_key_value(application: Application, index: int, timed: TimedTokens, like: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values (2, N, D) of all references, or (R, 2, N, D) with a reference for each frame."""
    live = application.live
    assert live is not None
    references = len(timed.tokens)
    pairs = live.patcher.model.layer_at(index).key_value_at(timed.tokens.flatten(0, 1).to(like), timed.time.to(like))
    key, value = (torch.unflatten(part, 0, (references, 2)) for part in pairs)
    value = value * timed.weights.to(like)
    if application.layers[index].negative_sees_reference:
        key, value = (part[:, POSITIVE:].expand_as(part) for part in (key, value))
    return (key, value) if application.per_frame else (_joined(key), _joined(value))


def _joined(part: Tensor) -> Tensor:
    """(R, 2, N, D) -> (2, R * N, D)."""
    return part.movedim(0, 1).flatten(1, 2)


def _weights(application: Application, layout: BatchLayout, like: Tensor) -> Tensor:
    """The weight of each row of the batch at each layer, (layers, B)."""
    layers = torch.tensor([(layer.negative, layer.positive) for layer in application.layers], dtype=torch.float64)
    return (layers[:, list(layout.sides)] * application.strength.weight).to(like.device, like.dtype)


def compose(applications: list[Application], options: Options, run: Run, state: CallState) -> Options:
    """Options in which our hooks stand around those of other packs, with the image tokens of this step."""
    replaced = options.get("patches_replace", {})
    foreign = replaced.get("dit", {})
    slots, hooks = cached_hooks(run, applications, foreign, lambda: _hooks(applications, foreign))
    step: Step = options[STEP]
    tokens = tokens_of_step(applications, step, run, state.sigma)
    layout, like = options[LAYOUT], options[LIKE]
    weights = tuple(_weights(application, layout, like) for application in applications)
    plan = plan_of(applications, options, slots, JointKeys(state.network, layout, tokens, weights))
    parts = {IGNORES_UNKNOWN_KWARGS: True, PLAN: plan, "patches_replace": replaced | {"dit": foreign | hooks}}
    return options | parts


def _hooks(applications: list[Application], foreign: dict[Any, Any]) -> tuple[Slots, dict[tuple[str, int], JointBlock]]:
    slots = slots_by_block(applications)
    blocks = {("double_block", block[1]): block for block in slots}
    return slots, {name: JointBlock(block, foreign.get(name)) for name, block in blocks.items()}


SD3 = Family(MODELS, blocks_for, compose)
