"""SD3.5 Large: image tokens that change with the timestep, beside the picture's own keys, in every joint block.

    picture += scale * Attn(norm_q(q), [norm_k(k), k_image], [v, v_image]) before the block's projection, with q and k of
    the picture's rows as they are before the model's own norms

The model's norms and the adapter's differ by their weights only, so what ComfyUI has already normalised is multiplied by
the ratio of the weights and nothing is projected twice.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import comfy.ldm.modules.attention
from comfy.ldm.modules.diffusionmodules.mmdit import MMDiT

from ...adapter.key_value_bank import POSITIVE
from ...adapter.layers import SD3_HEAD_WIDTH, JointLayer
from ...attention.image_attention import image_attention
from ...checkpoint.spec import AdapterSpec
from ...errors import ModelMismatchError
from ...masks.token_grid import token_grid
from ...sampling.application import Application, Block, LiveAdapter
from ...sampling.batch import Rows, per_picture
from ...sampling.layer_call import LayerCall, chosen, mask_multiplier
from ...sampling.run import Run, Step
from ..hooks.hook_cache import kept
from ..hooks.hook_support import check_offers
from ..hooks.layer_slot import Place, places_by_block
from ..hooks.model_call import OVERRIDE, ModelParts, acting_at, model_call, part_of
from ..hooks.wrappers import CALL, IGNORES_UNKNOWN_KWARGS, LIKE, STEP, CallState, Options

MODELS = (MMDiT,)
TOKENS = "ipadapter_core_tokens"
SIDES = "ipadapter_core_sides"
PLACE = "block"


class TimedTokens(NamedTuple):
    """Image tokens of one timestep, (R, 2, N, C) for R references, negative first, and the time embedding (1, T).

    `weights` (R, 1, 1, 1) are the references' own: a tensor, because a compiled block takes any number as it is for good.
    """

    tokens: Tensor
    time: Tensor
    weights: Tensor


def blocks_for(spec: AdapterSpec, network: nn.Module) -> tuple[Block, ...]:
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

    parts: tuple[Place, ...]
    attention: nn.Module
    previous: Any

    def __call__(self, args: dict, extra: dict) -> dict:
        """ComfyUI's protocol of `patches_replace["dit"]`."""
        options = args["transformer_options"]
        override = JointImageAttention(self.parts, self.attention, args["txt"].shape[1], options.get(OVERRIDE))
        args = args | {"transformer_options": options | {OVERRIDE: override}}
        return extra["original_block"](args) if self.previous is None else self.previous(args, extra)


@dataclass(frozen=True, eq=False)
class JointImageAttention:
    """One block's attention by whoever had it, then each application's part on the picture's rows."""

    parts: tuple[Place, ...]
    attention: nn.Module
    text: int
    previous: Any

    def __call__(self, function, query: Tensor, key: Tensor, value: Tensor, *args, **kwargs) -> Tensor:
        """(B, L, D) or (B, L, H, D / H) for each, text rows first -> (B, L, D)."""
        base = self.previous or _as_it_is
        out = base(function, query, key, value, *args, **kwargs)
        options = kwargs["transformer_options"]
        call: ModelParts = options[CALL]
        acting, rows = acting_at(self.parts, call, query.shape[0])
        if rows is None:
            return out
        picture = tuple(part[:, self.text :].flatten(2) for part in (query, key, value))
        grid = token_grid(picture[0].shape[1], (rows.latent,))
        layer = LayerCall(
            picture[0], query.shape[2] if query.ndim == 4 else query.shape[-1] // SD3_HEAD_WIDTH, grid, rows
        )
        own = call.fresh and self.previous is None and not torch.is_grad_enabled()
        out = out if own else out.clone()  # another pack, or a backward pass, may still hold it
        attended = out[:, self.text :]
        for place in acting:
            attended = self._added(attended, place, layer, picture, options)
        return out

    def _added(
        self, base: Tensor, place: Place, layer: LayerCall, picture: tuple[Tensor, ...], options: Options
    ) -> Tensor:
        application, index = place.application, place.index
        assert application.live is not None
        weights: JointLayer = application.live.patcher.model.layer_at(index)
        query = _renormed(picture[0], self.attention.ln_q.weight, weights.norm_q.weight)
        own_key = _renormed(picture[1], self.attention.ln_k.weight, weights.norm_k.weight)
        part = part_of(place, options[CALL], layer)
        pair = _image_key_value(application, index, options[TOKENS][place.slot], query)
        key, value = (per_picture(chosen(side, layer.rows, part), query.shape[0]) for side in pair)
        both = torch.cat((own_key, key), dim=1), torch.cat((picture[2], value), dim=1)
        call: ModelParts = options[CALL]
        sides = options[SIDES][place.slot] if layer.rows is call.rows else _sides(application, layer.rows, query)
        weight = sides[index].view(-1, 1, 1)
        factor = weight if part.factor is None else weight * part.factor
        for observer in part.observers:
            observer.note(application, index, layer._replace(query=query), part._replace(factor=factor), both)
        out = image_attention(query, *both, layer.heads)
        return base.addcmul_(
            out, factor if application.mask is None else weight * mask_multiplier(application, layer, part)
        )


def _as_it_is(function, *args, **kwargs) -> Tensor:
    return function(*args, **kwargs)


def _renormed(tokens: Tensor, had: Tensor, wanted: Tensor) -> Tensor:
    """Tokens (B, L, D) that were normalised with the weight `had`, as if it had been `wanted`; a dead channel stays dead."""
    had, wanted = had.to(tokens.device, torch.float32), wanted.to(tokens.device, torch.float32)
    ratio = torch.where(had == 0, 0, wanted / had).to(tokens.dtype)
    return (tokens.unflatten(-1, (-1, SD3_HEAD_WIDTH)) * ratio).flatten(-2)


def _image_key_value(application: Application, index: int, timed: TimedTokens, like: Tensor) -> tuple[Tensor, Tensor]:
    """Keys and values (2, N, D) of all references, or (R, 2, N, D) with a reference for each frame."""
    live = application.live
    assert live is not None
    references = len(timed.tokens)
    pairs = live.patcher.model.layer_at(index).key_value_at(timed.tokens.flatten(0, 1).to(like), timed.time.to(like))
    key, value = (part.unflatten(0, (references, 2)) for part in pairs)
    value = value * timed.weights.to(like)
    if application.layers[index].negative_sees_reference:
        key, value = (part[:, POSITIVE:].expand_as(part) for part in (key, value))
    return (key, value) if application.per_frame else (_joined(key), _joined(value))


def _joined(part: Tensor) -> Tensor:
    """(R, 2, N, D) -> (2, R * N, D)."""
    return part.movedim(0, 1).flatten(1, 2)


def _sides(application: Application, rows: Rows, like: Tensor) -> Tensor:
    """The weight of each row of the batch at each layer, (layers, B)."""
    layers = torch.tensor([(layer.negative, layer.positive) for layer in application.layers], dtype=torch.float64)
    sides = [side for side in rows.polarities for _ in rows.frames]
    return (layers[:, sides] * application.strength.weight).to(like.device, like.dtype)


def compose(applications: list[Application], options: Options, run: Run, state: CallState) -> Options:
    """Options in which our hooks stand around those of other packs, with the image tokens of this step."""
    replaced = options.get("patches_replace", {})
    foreign = replaced.get("dit", {})
    hooks = kept(
        run, applications, foreign | {"network": state.network}, lambda: _hooks(applications, foreign, state.network)
    )
    step: Step = options[STEP]
    tokens = tuple(
        None if scale is None else _tokens(application, state.sigma, run, step)
        for application, scale in zip(applications, step.scales, strict=True)
    )
    call = model_call(applications, options)
    like = options.get(LIKE, step.canvas)
    sides = tuple(None if call.rows is None else _sides(application, call.rows, like) for application in applications)
    parts = {TOKENS: tokens, SIDES: sides, IGNORES_UNKNOWN_KWARGS: True, CALL: call}
    return options | parts | {"patches_replace": replaced | {"dit": foreign | hooks}}


def _hooks(applications: list[Application], foreign: dict, network: nn.Module) -> dict:
    return {
        ("double_block", number): JointBlock(
            here, network.joint_blocks[number].x_block.attn, foreign.get(("double_block", number))
        )
        for (_, number, _), here in places_by_block(applications).items()
    }


def _tokens(application: Application, sigma: Tensor, run: Run, step: Step) -> TimedTokens:
    """The resampler's output for this step, made at the step's first model call."""
    made_for, timed = run.memory.get(application.number, (None, None))
    if made_for is not step:
        assert application.live is not None
        timed = _resample(application.live, sigma[:1])
        run.memory[application.number] = (step, timed)
    return timed


def _resample(live: LiveAdapter, sigma: Tensor) -> TimedTokens:
    both = [torch.stack((one.negative[0], one.features[0])) for one in live.references]
    features = torch.cat(both).to(sigma.device)
    tokens, time = live.patcher.model.image_proj(features, sigma.float() * 1000)
    weights = torch.tensor([one.weight for one in live.references], device=sigma.device).view(-1, 1, 1, 1)
    return TimedTokens(tokens.unflatten(0, (-1, 2)), time, weights)
