"""UNets (SD1.5, SDXL and what is built like them): the map of cross-attention layers, and the hook at each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_patcher import ModelPatcher

from ..application import Application, Block
from ..checkpoint.spec import AdapterSpec
from ..effect import LayerCall, Part, Rows, add_image_output, ready
from ..errors import ModelMismatchError
from ..host import base_attention
from ..masks import halved, token_grid
from ..notice import say_once
from ..step import Run, Scale, Step
from .rows import ROWS, enlarged, rows_of
from .sampling import CALL, LIKE, STEP, Options

LEVELS = 4  # the token grids of a UNet whose masks are made ready before a call; any other is made in its layer
REMEMBERED = 8  # sets of hooks in a run: other packs' guidance patches single calls, some of them anew at each step

AttentionPatch = Callable[[Tensor, Tensor, Tensor, Options], Tensor]


class CrossAttentionLayer(NamedTuple):
    """One cross-attention layer of a live UNet: where it is, its width, and the width of the text it reads."""

    block: Block
    width: int
    context_width: int


def is_unet(network: nn.Module) -> bool:
    """Whether a diffusion model is one of ComfyUI's UNets."""
    return isinstance(network, UNetModel)


def unet_of(model: ModelPatcher, spec: AdapterSpec) -> nn.Module:
    """The model's UNet; raises `ModelMismatchError` when it is something else."""
    network = model.get_model_object("diffusion_model")
    if not is_unet(network):
        raise ModelMismatchError(
            f"{spec.file} is for {spec.base.value}, a UNet, but the model is {type(model.model).__name__}: load a "
            "checkpoint that fits, or another file in Load IP-Adapter"
        )
    return network


def layer_map(unet: nn.Module) -> tuple[CrossAttentionLayer, ...]:
    """The UNet's cross-attention layers in the order of adapter files: input blocks, output blocks, middle block.

    Source of the order: diffusers' `attn_processors`, which numbers down, up, mid; an adapter's layer is 2 n + 1.
    """
    places = [("input", number, block) for number, block in enumerate(unet.input_blocks)]
    places += [("output", number, block) for number, block in enumerate(unet.output_blocks)]
    places += [("middle", 0, unet.middle_block)]
    return tuple(
        CrossAttentionLayer((part, number, depth), block.n_heads * block.d_head, block.attn2.to_k.in_features)
        for part, number, sequence in places
        for transformer in (sequence or ())
        if isinstance(transformer, SpatialTransformer)
        for depth, block in enumerate(transformer.transformer_blocks)
        if block.attn2 is not None
    )


def check_fit(spec: AdapterSpec, layers: tuple[CrossAttentionLayer, ...]) -> None:
    """Raises `ModelMismatchError` unless the adapter has the model's layers, widths and text width."""
    found = f"{spec.file} is for {spec.base.value} ({_sizes([layer.width for layer in spec.layers])}, "
    found += f"tokens of width {spec.text_width})"
    has = f"the model has {_sizes([layer.width for layer in layers])}, text of width {layers[0].context_width}"
    ours = own_layers(spec, layers)
    widths = [layer.width for layer in spec.layers] == [layer.width for layer in ours]
    if not widths or ours[0].context_width != spec.text_width:
        raise ModelMismatchError(
            f"{found}, but {has}: choose an adapter for this model in Load IP-Adapter, or another model"
        )


def own_layers(spec: AdapterSpec, layers: tuple[CrossAttentionLayer, ...]) -> tuple[CrossAttentionLayer, ...]:
    """The model's layers that the adapter has keys for: all, except for CSGO, which leaves out the middle block."""
    if not spec.projector.parts:
        return layers
    return tuple(layer for layer in layers if layer.block[0] != "middle")


def _sizes(widths: list[int]) -> str:
    return f"{len(widths)} cross-attention layers of width {min(widths)} to {max(widths)}"


class Place(NamedTuple):
    """An application at a layer: its place among the model's applications, and the layer's place in its banks."""

    application: Application
    slot: int
    index: int


@dataclass(frozen=True, eq=False)
class ImageCrossAttention:
    """One layer's hook: text attention by whoever had it, then each application's part.

    Called by ComfyUI's `BasicTransformerBlock` with query, key and value (B, L, D) before `to_out`.
    """

    parts: tuple[Place, ...]
    previous: AttentionPatch | None

    def __deepcopy__(self, memo: dict) -> "ImageCrossAttention":
        return self

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, options: Options) -> Tensor:
        """(B, L, D) for each -> (B, L, D)."""
        out = (self.previous or base_attention)(query, key, value, options)
        call: UNetCall = options[CALL]
        acting = [part for part in self.parts if call.factors[part.slot] is not None]
        same = call.rows is not None and query.shape[0] == call.rows.batch
        rows = call.rows if same or call.rows is None else _enlarged(call.rows, query.shape[0])
        if not acting or rows is None:
            return out
        shapes = tuple(tuple(options[name][-2:]) for name in ("activations_shape", "original_shape") if name in options)
        layer = LayerCall(query, options["n_heads"], token_grid(query.shape[1], shapes), rows)
        for application, slot, index in acting:
            part = call.parts[slot] if same else ready(application, rows, call.factors[slot], query)
            out = add_image_output(out, application, index, layer, part)
        return out


class UNetCall(NamedTuple):
    """What a model call decides for all its layers: the batch's make-up, and what each application needs, None if it rests."""

    rows: Rows | None
    factors: tuple[Scale, ...]
    parts: tuple[Part | None, ...]


def _enlarged(rows: Rows, batch: int) -> Rows | None:
    larger = enlarged(rows, batch)
    if larger is None:
        say_once(
            f"a layer has a batch of {batch}, expected {len(rows.polarities)} passes of {len(rows.frames)}: left as it is"
        )
    return larger


def compose(applications: list[Application], options: Options, run: Run) -> Options:
    """Options in which our hook stands at each layer around the one that stood there; kept for the run's next calls."""
    foreign = options.get("patches_replace", {}).get("attn2", {})
    hooks = next((hooks for key, hooks in run.composed if _same(key, (applications, foreign))), None)
    if hooks is None:
        hooks = _hooks(applications, foreign)
        run.composed.append(((list(applications), dict(foreign)), hooks))
        del run.composed[:-REMEMBERED]
    replace = options.get("patches_replace", {}) | {"attn2": foreign | hooks}
    return options | {"patches_replace": replace, CALL: _call(applications, options)}


def _call(applications: list[Application], options: Options) -> UNetCall:
    step: Step = options[STEP]
    rows = options[ROWS] if ROWS in options else rows_of(options, step)
    if rows is None:
        return UNetCall(None, step.scales, (None,) * len(applications))
    grids, like = halved(rows.latent, LEVELS), options.get(LIKE, step.canvas)
    parts = tuple(
        None if factor is None else ready(application, rows, factor, like, grids)
        for application, factor in zip(applications, step.scales, strict=True)
    )
    return UNetCall(rows, step.scales, parts)


def _hooks(applications: list[Application], foreign: dict) -> dict[Block, ImageCrossAttention]:
    parts: dict[Block, list[Place]] = {}
    for slot, application in enumerate(applications):
        for index, block in enumerate(application.blocks):
            if not application.layers[index].silent:
                parts.setdefault(block, []).append(Place(application, slot, index))
    return {
        block: ImageCrossAttention(tuple(here), foreign.get(block, foreign.get(block[:2])))
        for block, here in parts.items()
    }


def _same(left: tuple[list, dict], right: tuple[list, dict]) -> bool:
    """Whether two states of the hooks hold the very same objects."""
    (applications, foreign), (others, other_foreign) = left, right
    return (
        len(applications) == len(others)
        and all(one is other for one, other in zip(applications, others, strict=True))
        and foreign.keys() == other_foreign.keys()
        and all(foreign[key] is other_foreign[key] for key in foreign)
    )
