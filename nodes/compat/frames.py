"""The nodes around weights over frames."""

from typing import Any

from comfy_api.latest import io

from ...ipadapter_core.compat.frames import Strategy, frames_of, schedule_of_prompts, strategy_of
from ...ipadapter_core.weights.frame_weights import FrameMethod, Timing
from .inputs import StrategySocket, choice, image, number, other_schema, whole
from .methods import COMBINE_WEIGHTS, PROMPT_SCHEDULE, WEIGHTS
from .old_node import OldNode, called_as

CATEGORY = "ipadapter/weights"
LONGEST = 9999


def _outputs() -> list[io.Output]:
    return [
        io.Float.Output(display_name="weights"),
        io.Float.Output(display_name="weights_invert"),
        io.Int.Output(display_name="total_frames"),
        io.Image.Output(display_name="image_1"),
        io.Image.Output(display_name="image_2"),
        StrategySocket.Output(display_name="weights_strategy"),
    ]


def _frames(name: str, tooltip: str, default: int = 0) -> io.Input:
    return whole(name, tooltip, (0, LONGEST), default)


def _strategy() -> io.Input:
    return StrategySocket.Input("weights_strategy", tooltip="From IPAdapter Weights.")


def _made(given: Any, pictures: Any) -> io.NodeOutput:
    strategy = strategy_of(given)
    made = frames_of(strategy, pictures)
    return io.NodeOutput(made.weights, made.backwards, len(made.weights), made.first, made.second, strategy)


@called_as(WEIGHTS)
class OldWeights(OldNode):
    """*IPAdapter Weights*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        inputs = [
            io.String.Input("weights", default="1.0, 0.0", multiline=True, tooltip="Numbers, by commas or lines."),
            choice("timing", list(Timing), "How weights go from the first number to the last.", Timing.LINEAR.value),
            _frames("frames", "How many frames for each image; not for custom."),
            _frames("start_frame", "Where weights begin to change."),
            _frames("end_frame", "Where weights have changed.", LONGEST),
            _frames("add_starting_frames", "Frames of the first image before all others."),
            _frames("add_ending_frames", "Frames of the last image behind all others."),
            choice("method", list(FrameMethod), "How it goes on from image to image.", FrameMethod.FULL.value),
            image(tooltip="One image for each keyframe.", optional=True),
        ]
        return other_schema("IPAdapterWeights", "IPAdapter Weights", CATEGORY, inputs, _outputs())

    @classmethod
    def execute(cls, image: Any = None, weights_strategy: Any = None, **inputs: Any) -> io.NodeOutput:
        """Weights, and who is seen when."""
        return _made(weights_strategy or Strategy(**inputs).of(image), image)


class OldWeightsFromStrategy(OldWeights):
    """*IPAdapter Weights From Strategy*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        inputs = [_strategy(), image(tooltip="Other images for the same weights.", optional=True)]
        name = "IPAdapter Weights From Strategy"
        return other_schema("IPAdapterWeightsFromStrategy", name, CATEGORY, inputs, _outputs())


@called_as(PROMPT_SCHEDULE)
class OldPromptSchedule(OldNode):
    """*Prompt Schedule From Weights Strategy*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        text = io.String.Input("prompt", default="", multiline=True, tooltip="A line for each image.")
        outputs = [io.String.Output(display_name="prompt_schedule")]
        node = ("IPAdapterPromptScheduleFromWeightsStrategy", "Prompt Schedule From Weights Strategy", CATEGORY)
        return other_schema(*node, [_strategy(), text], outputs)

    @classmethod
    def execute(cls, weights_strategy: Any, prompt: str = "") -> io.NodeOutput:
        """A keyframe for each line."""
        return io.NodeOutput(schedule_of_prompts(strategy_of(weights_strategy), prompt))


@called_as(COMBINE_WEIGHTS)
class OldCombineWeights(OldNode):
    """*IPAdapter Combine Weights*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        inputs = [number(f"weights_{place}", "Weights, or one.", (0.0, 1.0), 0.0) for place in (1, 2)]
        outputs = [io.Float.Output(display_name="weights"), io.Int.Output(display_name="count")]
        return other_schema("IPAdapterCombineWeights", "IPAdapter Combine Weights", "ipadapter/utils", inputs, outputs)

    @classmethod
    def execute(cls, weights_1: float | list[float], weights_2: float | list[float]) -> io.NodeOutput:
        """One row after the other."""
        rows = [one if isinstance(one, list) else [one] for one in (weights_1, weights_2)]
        return io.NodeOutput(rows[0] + rows[1], len(rows[0]) + len(rows[1]))


NODES = [OldWeights, OldWeightsFromStrategy, OldPromptSchedule, OldCombineWeights]
