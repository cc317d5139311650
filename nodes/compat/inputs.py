"""The inputs that nodes of ComfyUI_IPAdapter_plus share: names, defaults, bounds and options as they are there."""

from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io

from ...ipadapter_core.compat.weight_types import WEIGHT_TYPES, Results
from ...ipadapter_core.prompt.combine import Combination
from ...ipadapter_core.weights.scaling import Scaling

OldAdapterSocket = io.Custom("IPADAPTER")
EmbedsSocket = io.Custom("EMBEDS")
ParamsSocket = io.Custom("IPADAPTER_PARAMS")
StrategySocket = io.Custom("WEIGHTS_STRATEGY")
InsightFaceSocket = io.Custom("INSIGHTFACE")

COMBINE = [Combination.CONCAT, Combination.ADD, Combination.SUBTRACT, Combination.AVERAGE, Combination.NORM_AVERAGE]
RESULTS_TOOLTIP = (
    "'corrected' takes in the UNet's middle block, lays masks exactly, averages the directions of features and has "
    "the negative of the training. 'as IPAdapter_plus' gives the image that the same workflow gave with ComfyUI_IPAdapter_plus."
)


def number(name: str, tooltip: str, bounds: tuple[float, float], default: float = 1.0, step: float = 0.05) -> io.Input:
    """A number between two bounds."""
    low, high = bounds
    return io.Float.Input(name, default=default, min=low, max=high, step=step, tooltip=tooltip)


def weight(most: float = 5, name: str = "weight", tooltip: str = "How strongly the reference acts.") -> io.Input:
    """How strongly, from -1."""
    return number(name, tooltip, (-1, most))


def whole(name: str, tooltip: str, bounds: tuple[int, int], default: int = 0) -> io.Input:
    """A whole number between two bounds."""
    return io.Int.Input(name, default=default, min=bounds[0], max=bounds[1], tooltip=tooltip)


def choice(name: str, options: Sequence[str], tooltip: str, default: str | None = None) -> io.Input:
    """One of several words."""
    words = [str(getattr(option, "value", option)) for option in options]
    more: dict[str, Any] = {} if default is None else {"default": default}
    return io.Combo.Input(name, options=words, tooltip=tooltip, **more)


def weight_type() -> io.Input:
    """Which layers act how strongly."""
    return choice("weight_type", list(WEIGHT_TYPES), "Which parts of the model take the reference in, and how much.")


def combine_embeds(default: str | None = None) -> io.Input:
    """What becomes of several images."""
    return choice("combine_embeds", COMBINE, "Several images: side by side, or mixed into one.", default)


def scaling() -> io.Input:
    """What the weight multiplies."""
    return choice("embeds_scaling", list(Scaling), "What the weight multiplies: the value alone, or the key as well.")


def window() -> list[io.Input]:
    """When it acts."""
    return [
        number("start_at", "Where in the run it starts to take effect.", (0.0, 1.0), 0.0, 0.001),
        number("end_at", "Where in the run it stops taking effect.", (0.0, 1.0), 1.0, 0.001),
    ]


def sharpening() -> io.Input:
    """How much images are sharpened."""
    return number("sharpening", "How much the image is sharpened for the encoder.", (0.0, 1.0), 0.0)


def batch_size() -> io.Input:
    """There to fit old workflows."""
    return whole(
        "encode_batch_size", "Ignored; kept for compatibility. Images are encoded in portions that fit.", (0, 4096)
    )


def image(name: str = "image", tooltip: str = "The reference, or several.", optional: bool = False) -> io.Input:
    """An image."""
    return io.Image.Input(name, tooltip=tooltip, optional=optional)


def usual_optional(negative: bool = True, mask: bool = True, faces: bool = False) -> list[io.Input]:
    """What may be connected to most apply nodes."""
    found: list[io.Input] = []
    if negative:
        found.append(image("image_negative", "What the result should move away from.", True))
    if mask:
        found.append(attn_mask())
    found.append(clip_vision())
    if faces:
        found.append(InsightFaceSocket.Input("insightface", optional=True, tooltip="For FaceID, without its loader."))
    return found


def attn_mask() -> io.Input:
    """Where it acts."""
    return io.Mask.Input("attn_mask", optional=True, tooltip="Where in the result it acts.")


def clip_vision() -> io.Input:
    """The image encoder."""
    return io.ClipVision.Input("clip_vision", optional=True, tooltip="The image encoder, without the unified loader.")


def results() -> io.Input:
    """Which images an old workflow gives; comes last, so that saved values keep their places."""
    return io.Combo.Input(
        "results", options=Results, default=Results.CORRECTED, optional=True, advanced=True, tooltip=RESULTS_TOOLTIP
    )


def adapter(optional: bool = False) -> io.Input:
    """The adapter that a loader of this family gives."""
    return OldAdapterSocket.Input(
        "ipadapter", optional=optional, tooltip="From IPAdapter Unified Loader or Model Loader."
    )


def apply_schema(
    node_id: str, display_name: str, category: str, inputs: Sequence[io.Input], outputs: Sequence[io.Output] = ()
) -> io.Schema:
    """The schema of a node that patches a model: model and adapter first, the choice of results last."""
    model = io.Model.Input("model", tooltip="The model to steer; a patched copy comes out.")
    return io.Schema(
        node_id=node_id,
        display_name=display_name,
        category=category,
        description=f"As in ComfyUI_IPAdapter_plus. {WAY_OVER}",
        inputs=[model, adapter(), *inputs, results()],
        outputs=[io.Model.Output(display_name="MODEL"), *outputs],
    )


WAY_OVER = "Kept so that old workflows run; its help page says how the same is done with the nodes of IP-Adapter Core."


def other_schema(
    node_id: str,
    display_name: str,
    category: str,
    inputs: Sequence[io.Input],
    outputs: Sequence[io.Output],
    **more: Any,
) -> io.Schema:
    """The schema of any other node."""
    return io.Schema(
        node_id=node_id,
        display_name=display_name,
        category=category,
        description=f"As in ComfyUI_IPAdapter_plus. {WAY_OVER}",
        inputs=list(inputs),
        outputs=list(outputs),
        **more,
    )


PROGRAM_INPUTS: tuple[io.Input, ...] = (
    *(image(name) for name in ("image", "image_style", "image_composition", "image_negative", "image_optional")),
    attn_mask(),
    io.Mask.Input("mask"),
    *(
        weight(name=name)
        for name in ("weight", "weight_style", "weight_composition", "weight_faceidv2", "weight_kolors")
    ),
    *(
        number(name, "", (-5, 5))
        for name in ("style_boost", "composition_boost", "start_at", "end_at", "enhance_ratio")
    ),
    whole("enhance_tiles", "", (1, 16)),
    ParamsSocket.Input("ipadapter_params"),
)  # what programs give to any apply node, whether or not its schema has it
