"""UNets (SD1.5, SDXL and what is built like them): the map of cross-attention layers, and the hook at each."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_patcher import ModelPatcher

from ..application import Application, Block
from ..checkpoint.spec import AdapterSpec
from ..effect import LayerCall, Rows, add_image_output
from ..errors import ModelMismatchError
from ..host import base_attention
from ..key_value_bank import POSITIVE
from ..masks import CANVAS, token_grid
from ..polarity import polarity_of_index
from ..step import Run, Step
from .sampling import STEP, Options

logger = logging.getLogger(__name__)

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


@dataclass(frozen=True, eq=False)
class ImageCrossAttention:
    """One layer's hook: text attention by whoever had it, then each application's part.

    Called by ComfyUI's `BasicTransformerBlock` with query, key and value (B, L, D) before `to_out`.
    """

    parts: tuple[tuple[Application, int], ...]
    previous: AttentionPatch | None

    def __deepcopy__(self, memo: dict) -> "ImageCrossAttention":
        return self

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, options: Options) -> Tensor:
        """(B, L, D) for each -> (B, L, D)."""
        step: Step = options[STEP]
        acting = [
            (application, index) for application, index in self.parts if step.scales[application.number] is not None
        ]
        if self.previous is None:
            out = base_attention(query, key, value, options)
        else:
            out = self.previous(query, key, value, options)
            out = out.clone() if acting else out  # another pack may still hold what it returned
        rows = batch_rows(query.shape[0], options, step) if acting else None
        if rows is None:
            return out
        shapes = tuple(tuple(options[name][-2:]) for name in ("activations_shape", "original_shape") if name in options)
        call = LayerCall(query, options["n_heads"], token_grid(query.shape[1], shapes), rows)
        for application, index in acting:
            factor = step.scales[application.number]
            assert factor is not None
            out = add_image_output(out, application, index, call, factor)
        return out


def batch_rows(batch: int, options: Options, step: Step) -> Rows | None:
    """How a layer's batch is made up; None, said once in the log, where it cannot be known.

    Packs that couple prompts to regions enlarge the batch of the positive passes; that is recognised by its size.
    """
    passes = options.get("cond_or_uncond") or [0] * (batch // step.pictures)
    polarities = [
        step.polarities[index] if index < len(step.polarities) else polarity_of_index(index) for index in passes
    ]
    areas = [step.areas.get(uuid, CANVAS) for uuid in options.get("uuids", ())] if step.areas else []
    areas = areas if len(areas) == len(passes) else [CANVAS] * len(passes)
    if batch != len(passes) * step.pictures:
        positives = polarities.count(POSITIVE)
        copies, rest = divmod(batch // step.pictures - (len(passes) - positives), max(positives, 1))
        if rest or copies < 1 or batch % step.pictures:
            logger.warning("IP-Adapter: a layer has a batch of %d, expected %d passes of %d: left as it is",
                           batch, len(passes), step.pictures)  # fmt: skip
            return None
        repeats = [copies if side == POSITIVE else 1 for side in polarities]
        polarities = [side for side, times in zip(polarities, repeats, strict=True) for _ in range(times)]
        areas = [area for area, times in zip(areas, repeats, strict=True) for _ in range(times)]
    return Rows(tuple(polarities), frames_of(options, step.pictures), tuple(areas))


def frames_of(options: Options, pictures: int) -> tuple[int, ...]:
    """The place in the whole batch of each picture of a pass: a context window or AnimateDiff may show a part of it."""
    window = options.get("context_window")
    shown = None
    if window is not None and window.dim == 0:
        shown = list(window.index_list)
        anchor = getattr(window, "causal_anchor_index", None)
        if anchor is not None and anchor >= 0:
            shown = [anchor, *shown]
    elif options.get("ad_params"):
        shown = options["ad_params"].get("sub_idxs")
    return tuple(shown) if shown is not None and len(shown) == pictures else tuple(range(pictures))


def compose(applications: list[Application], options: Options, run: Run) -> Options:
    """Options in which our hook stands at each layer around the one that stood there; kept for the run's next calls."""
    foreign = options.get("patches_replace", {}).get("attn2", {})
    hooks = next((hooks for key, hooks in run.composed if _same(key, (applications, foreign))), None)
    if hooks is None:
        hooks = _hooks(applications, foreign)
        run.composed.append(((list(applications), dict(foreign)), hooks))
    return options | {"patches_replace": options.get("patches_replace", {}) | {"attn2": foreign | hooks}}


def _hooks(applications: list[Application], foreign: dict) -> dict[Block, ImageCrossAttention]:
    parts: dict[Block, list[tuple[Application, int]]] = {}
    for application in applications:
        for index, block in enumerate(application.blocks):
            if not application.layers[index].silent:
                parts.setdefault(block, []).append((application, index))
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
