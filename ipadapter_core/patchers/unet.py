"""UNets (SD1.5, SDXL and what is built like them): the map of cross-attention layers, and the hook at each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from comfy.ldm.modules.attention import SpatialTransformer

from ..application import Application, Block
from ..checkpoint.spec import AdapterSpec
from ..effect import Factor, LayerCall, Part, Rows, add_image_output, ready
from ..errors import ModelMismatchError
from ..host import base_attention
from ..masks import halved, token_grid
from ..step import Run, Step
from .rows import ROWS, enlarged, rows_of, say_once
from .sampling import LIKE, RUN, STEP, Options

CALL = "ipadapter_core_call"
LEVELS = 4  # the token grids of a UNet whose masks are made ready before a call; any other is made in its layer

AttentionPatch = Callable[[Tensor, Tensor, Tensor, Options], Tensor]


class CrossAttentionLayer(NamedTuple):
    """One cross-attention layer of a live UNet: where it is, its width, and the width of the text it reads."""

    block: Block
    width: int
    context_width: int


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
    found += f"tokens of width {spec.projector.context_width})"
    has = f"the model has {_sizes([layer.width for layer in layers])}, text of width {layers[0].context_width}"
    widths = [layer.width for layer in spec.layers] == [layer.width for layer in layers]
    if not widths or layers[0].context_width != spec.projector.context_width:
        raise ModelMismatchError(
            f"{found}, but {has}: choose an adapter for this model in Load IP-Adapter, or another model"
        )


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
        call: UNetCall = options[CALL]
        acting = [(application, index) for application, index in self.parts if application.number in call.parts]
        if self.previous is None:
            out = base_attention(query, key, value, options)
        else:
            out = self.previous(query, key, value, options)
            out = out.clone() if acting else out  # another pack may still hold what it returned
        same = call.rows is not None and query.shape[0] == call.rows.batch
        rows = call.rows if same or call.rows is None else _enlarged(call.rows, query.shape[0], options)
        if not acting or rows is None:
            return out
        shapes = tuple(tuple(options[name][-2:]) for name in ("activations_shape", "original_shape") if name in options)
        layer = LayerCall(query, options["n_heads"], token_grid(query.shape[1], shapes), rows)
        for application, index in acting:
            part = (
                call.parts[application.number]
                if same
                else ready(application, rows, call.factors[application.number], query)
            )
            out = add_image_output(out, application, index, layer, part)
        return out


class UNetCall(NamedTuple):
    """What a model call decides for all its layers: the batch's make-up, and by number what each acting application needs."""

    rows: Rows | None
    parts: dict[int, Part]
    factors: dict[int, Factor]


def _enlarged(rows: Rows, batch: int, options: Options) -> Rows | None:
    larger = enlarged(rows, batch)
    if larger is None:
        text = f"a layer has a batch of {batch}, expected {len(rows.polarities)} passes of {len(rows.frames)}: left as it is"
        say_once(options[RUN] if RUN in options else Run(), text)
    return larger


def compose(applications: list[Application], options: Options, run: Run) -> Options:
    """Options in which our hook stands at each layer around the one that stood there; kept for the run's next calls."""
    foreign = options.get("patches_replace", {}).get("attn2", {})
    hooks = next((hooks for key, hooks in run.composed if _same(key, (applications, foreign))), None)
    if hooks is None:
        hooks = _hooks(applications, foreign)
        run.composed.append(((list(applications), dict(foreign)), hooks))
    replace = options.get("patches_replace", {}) | {"attn2": foreign | hooks}
    return options | {"patches_replace": replace, CALL: _call(applications, options, run)}


def _call(applications: list[Application], options: Options, run: Run) -> UNetCall:
    step: Step = options[STEP]
    rows = options[ROWS] if ROWS in options else rows_of(options, step, run)
    factors = {one.number: factor for one in applications if (factor := step.scales[one.number]) is not None}
    if rows is None:
        return UNetCall(None, {}, {})
    grids = halved(rows.latent, LEVELS)
    like = options.get(LIKE, step.canvas)
    parts = {
        one.number: ready(one, rows, factors[one.number], like, grids) for one in applications if one.number in factors
    }
    return UNetCall(rows, parts, factors)


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
