"""The apply nodes for images."""

from typing import Any

from comfy_api.latest import io

from ...ipadapter_core.compat.call import apply_call
from ...ipadapter_core.compat.pipeline import pipeline_of
from ...ipadapter_core.weights.layer_presets import LayerPreset
from .inputs import (
    apply_schema,
    attn_mask,
    batch_size,
    choice,
    combine_embeds,
    image,
    number,
    scaling,
    usual_optional,
    weight,
    weight_type,
    whole,
    window,
)
from .methods import APPLY, SIMPLE
from .old_node import OldNode, called_as

KINDS = {
    "standard": LayerPreset.LINEAR,
    "prompt is more important": LayerPreset.EASE_OUT,
    "style transfer": LayerPreset.STYLE,
}


@called_as(APPLY)
class OldApply(OldNode):
    """Patches a model as the inputs say, by the names that they have in a `Request`."""

    unfold = False

    @classmethod
    def execute(cls, model: Any, ipadapter: Any, **inputs: Any) -> io.NodeOutput:
        """Encodes and applies; ComfyUI takes the faces only where the node has an output for them."""
        return io.NodeOutput(*apply_call(model, pipeline_of(ipadapter), inputs, cls.unfold))


@called_as(SIMPLE)
class OldSimple(OldApply):
    """*IPAdapter*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        kind = choice("weight_type", list(KINDS), "Follow the reference, leave more to the prompt, or take its style.")
        inputs = [image(), weight(3), *window(), kind, attn_mask()]
        return apply_schema("IPAdapter", "IPAdapter", "ipadapter", inputs)

    @classmethod
    def execute(cls, model: Any, ipadapter: Any, **inputs: Any) -> io.NodeOutput:
        """Says the weight type in other words."""
        words = {"weight_type": KINDS[inputs.get("weight_type", "standard")].value}
        return super().execute(model, ipadapter, **inputs | words)


class OldAdvanced(OldApply):
    """*IPAdapter Advanced*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        inputs = [image(), weight(), weight_type(), combine_embeds(), *window(), scaling(), *usual_optional()]
        return apply_schema("IPAdapterAdvanced", "IPAdapter Advanced", "ipadapter", inputs)


class OldBatch(OldApply):
    """*IPAdapter Batch*."""

    unfold = True

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        inputs = [image(), weight(), weight_type(), *window(), scaling(), batch_size(), *usual_optional()]
        return apply_schema("IPAdapterBatch", "IPAdapter Batch (Adv.)", "ipadapter", inputs)


def _precise(boost: str, default: float) -> list[io.Input]:
    second = number(boost, "How strongly the other half is pushed away from the reference.", (-5, 5), default)
    return [image(), weight(), second, combine_embeds(), *window(), scaling(), *usual_optional()]


class OldPreciseStyle(OldApply):
    """*IPAdapter Precise Style Transfer*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        name = "IPAdapter Precise Style Transfer"
        return apply_schema("IPAdapterPreciseStyleTransfer", name, "ipadapter", _precise("style_boost", 1.0))


class OldPreciseStyleBatch(OldApply):
    """*IPAdapter Precise Style Transfer Batch*."""

    unfold = True

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        name = "IPAdapter Precise Style Transfer Batch"
        return apply_schema("IPAdapterPreciseStyleTransferBatch", name, "ipadapter", _precise("style_boost", 1.0))


class OldPreciseComposition(OldApply):
    """*IPAdapter Precise Composition*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        name = "IPAdapter Precise Composition"
        return apply_schema("IPAdapterPreciseComposition", name, "ipadapter", _precise("composition_boost", 0.0))


class OldPreciseCompositionBatch(OldApply):
    """*IPAdapter Precise Composition Batch*."""

    unfold = True

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        name = "IPAdapter Precise Composition Batch"
        return apply_schema("IPAdapterPreciseCompositionBatch", name, "ipadapter", _precise("composition_boost", 0.0))


def _enhancer(combine: list[io.Input], ratio: float, rest: list[io.Input]) -> list[io.Input]:
    tiles = whole("enhance_tiles", "How many tiles along each side are looked at besides the whole.", (1, 16), 2)
    share = number("enhance_ratio", "How much the whole counts beside its tiles.", (0.0, 1.0), ratio)
    return [image(), weight(), weight_type(), *combine, *window(), scaling(), tiles, share, *rest, *usual_optional()]


class OldEnhancer(OldApply):
    """*IPAdapter ClipVision Enhancer*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        name = "IPAdapter ClipVision Enhancer"
        inputs = _enhancer([combine_embeds()], 1.0, [])
        return apply_schema("IPAdapterClipVisionEnhancer", name, "ipadapter/dev", inputs)


class OldEnhancerBatch(OldApply):
    """*IPAdapter ClipVision Enhancer Batch*."""

    unfold = True

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        name = "IPAdapter ClipVision Enhancer Batch"
        inputs = _enhancer([], 0.5, [batch_size()])
        return apply_schema("IPAdapterClipVisionEnhancerBatch", name, "ipadapter/dev", inputs)


NODES = [
    OldSimple,
    OldAdvanced,
    OldBatch,
    OldPreciseStyle,
    OldPreciseStyleBatch,
    OldPreciseComposition,
    OldPreciseCompositionBatch,
    OldEnhancer,
    OldEnhancerBatch,
]
