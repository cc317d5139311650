"""UNets (SD1.5, SDXL and what is built like them): the map of cross-attention layers, and the hook at each."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_patcher import ModelPatcher

from ...checkpoint.spec import AdapterSpec, BaseModel
from ...errors import ModelMismatchError
from ...host import base_attention
from ...masks.token_grid import Size
from ...sampling.application import Application, Block
from ...sampling.layer_call import LayerCall, add_attention
from ...sampling.layer_slot import Slots, slots_by_block
from ...sampling.plan import ModelCallPlan
from ...sampling.run import Run
from ..hooks.attention_inputs import plain_tensor
from ..hooks.hook_cache import cached_hooks
from ..hooks.kernel_choice import fused
from ..hooks.model_call import exclusive_output, plan_of
from ..hooks.wrappers import PLAN, CallState, Options
from .family import Family

MODELS = (UNetModel,)
NETWORK = "network"  # under which hooks that are kept for a run know whose they are
LEVELS = 6  # halvings of a latent, and one more than any UNet makes of it
SDXL_CONDITIONS = 2816  # channels beside the time embedding: pooled text, sizes and crops

AttentionPatch = Callable[..., Tensor]  # of query, key, value and options


class CrossAttentionLayer(NamedTuple):
    """One cross-attention layer of a live UNet: where it is, its width, and the width of the text it reads.

    `preferred` is the attention that its checkpoint chose; None where ComfyUI is too old to have a choice, or none was made.
    """

    block: Block
    width: int
    context_width: int
    preferred: Any = None


def is_unet(network: nn.Module) -> bool:
    """Whether a diffusion model is one of ComfyUI's UNets."""
    return isinstance(network, MODELS)


def unet_of(model: ModelPatcher, spec: AdapterSpec) -> UNetModel:
    """The model's UNet; raises `ModelMismatchError` when it is something else."""
    network = model.get_model_object("diffusion_model")
    if not isinstance(network, UNetModel):
        raise ModelMismatchError(
            f"{spec.file} is for {spec.base.value}, a UNet, but the model is {type(model.model).__name__}: load a "
            "checkpoint that fits, or another file in Load IP-Adapter"
        )
    return network


def layer_map(unet: UNetModel) -> tuple[CrossAttentionLayer, ...]:
    """The UNet's cross-attention layers in the order of adapter files: input blocks, output blocks, middle block.

    Source of the order: diffusers' `attn_processors`, which numbers down, up, mid; an adapter's layer is 2 n + 1.
    """
    places: list[tuple[str, int, Iterable[nn.Module] | None]]
    places = [("input", number, block) for number, block in enumerate(unet.input_blocks)]
    places += [("output", number, block) for number, block in enumerate(unet.output_blocks)]
    places += [("middle", 0, unet.middle_block)]
    return tuple(
        CrossAttentionLayer(
            (part, number, depth), block.n_heads * block.d_head, block.attn2.to_k.in_features, _preferred(block.attn2)
        )
        for part, number, sequence in places
        for transformer in (sequence or ())
        if isinstance(transformer, SpatialTransformer)
        for depth, block in enumerate(transformer.transformer_blocks)
        if block.attn2 is not None
    )


def _preferred(attention: nn.Module) -> Any:
    """Source: `ComfyAttention` in ComfyUI's comfy/ldm/modules/attention.py (05080f60)."""
    preferred = getattr(attention, "comfy_attention", None)
    return preferred if getattr(preferred, "function", None) is not None else None


def blocks_for(spec: AdapterSpec, network: UNetModel) -> tuple[Block, ...]:
    """Where each layer of the adapter acts. Raises `ModelMismatchError` unless the model has its layers and widths."""
    layers = layer_map(network)
    check_fit(spec, layers)
    if spec.base is BaseModel.KOLORS and is_plain_sdxl(network):
        raise ModelMismatchError(
            f"{spec.file} is for Kolors, but the model is SDXL, whose layers have the same sizes: load Kolors, or another file "
            "in Load IP-Adapter"
        )
    return tuple(layer.block for layer in own_layers(spec, layers))


def is_plain_sdxl(unet: nn.Module) -> bool:
    """Whether a UNet with SDXL's layers takes SDXL's conditions, and has no projection for another text encoder.

    Kolors takes 5632 channels beside the time embedding (Kwai-Kolors/Kolors, unet/config.json).
    """
    embedding = getattr(unet, "label_emb", None)
    first = next((layer for layer in embedding.modules() if isinstance(layer, nn.Linear)), None) if embedding else None
    return first is not None and first.in_features == SDXL_CONDITIONS and not hasattr(unet, "encoder_hid_proj")


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

    `worded` is whether a reference belongs to words, so that the layer's attention to the text has to be seen.
    Called by ComfyUI's `BasicTransformerBlock` with query, key and value (B, L, D) before `to_out`. That leaves it to us to
    tell ComfyUI's attention which one the layer prefers.
    """

    block: Block
    previous: AttentionPatch | None
    preferred: Any = None
    worded: bool = False

    def __deepcopy__(self, memo: dict[int, Any]) -> "ImageCrossAttention":
        return self

    def __call__(self, query: Any, key: Any, value: Any, options: Options, **further: Any) -> Tensor:
        """(B, L, D) for each, or a newer core's containers of them -> (B, L, D)."""
        plan: ModelCallPlan = options[PLAN]
        image_query = plain_tensor(query)
        heads, exclusive = options["n_heads"], exclusive_output(plan, self.previous, options)
        text = plain_tensor(key) if self.worded else None
        call = LayerCall(image_query, heads, _shapes(options), levels=LEVELS, text=text)
        found = plan.key_values(self.block, call)
        to = [one.key_value for one in found]
        if self.preferred is not None and self.previous is None:
            further = {"preferred_attention": self.preferred} | further
        if to and exclusive and image_query.is_cuda and not further:
            out = fused(image_query, plain_tensor(key), plain_tensor(value), to, heads)
            if out is not None:
                return out
        base = (self.previous or base_attention)(query, key, value, options, **further)
        return add_attention(base, image_query, to, heads, exclusive)


def _shapes(options: Options) -> tuple[Size, ...]:
    """Candidates for a layer's token grid: as ComfyUI reports it, and the latent."""
    return tuple(tuple(options[name][-2:]) for name in ("activations_shape", "original_shape") if name in options)


def compose(applications: list[Application], options: Options, run: Run, state: CallState | None = None) -> Options:
    """Options in which our hook stands at each layer around the one that stood there; kept for the run's next calls."""
    foreign = options.get("patches_replace", {}).get("attn2", {})
    network = state.network if state is not None else None
    known = foreign | {NETWORK: network}  # a run may call a model and its copies on other devices
    slots, hooks = cached_hooks(run, applications, known, lambda: _hooks(applications, foreign, network))
    replace = options.get("patches_replace", {}) | {"attn2": foreign | hooks}
    return options | {"patches_replace": replace, PLAN: plan_of(applications, options, slots)}


def _hooks(
    applications: list[Application], foreign: dict[Any, AttentionPatch], network: UNetModel | None
) -> tuple[Slots, dict[Block, ImageCrossAttention]]:
    slots = slots_by_block(applications)
    preferred = {layer.block: layer.preferred for layer in (layer_map(network) if network is not None else ())}
    return slots, {
        block: ImageCrossAttention(
            block, foreign.get(block, foreign.get(block[:2])), preferred.get(block), any(slot.worded for slot in here)
        )
        for block, here in slots.items()
    }


UNET = Family(MODELS, blocks_for, compose, sees_text=True)
