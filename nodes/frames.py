"""*Frame Weights*, *References over Frames* and *Prompts over Frames*."""

from comfy.sd import CLIP
from comfy_api.latest import io, ui

from ..ipadapter_core.drawing.weight_plots import plot_frames
from ..ipadapter_core.prompt.image_prompt import ImagePrompt
from ..ipadapter_core.prompt.per_frame import references_over_frames, words_over_frames
from ..ipadapter_core.weights.frame_weights import FrameMethod, Ramp, Timing, frame_plan, prompt_schedule, ramp_weights
from ..ipadapter_core.weights.parsing import read_numbers, written_numbers
from .checked import CheckedNode
from .sockets import CATEGORY, ImagePromptSocket

FRAMES = f"{CATEGORY}/frames"


def _count(name: str, default: int, tooltip: str, least: int = 0, advanced: bool = False) -> io.Input:
    return io.Int.Input(
        name, default=default, min=least, max=9999, optional=advanced, advanced=advanced, tooltip=tooltip
    )


def _leads() -> tuple[io.Input, io.Input]:
    return (
        _count("lead_in", 0, "Frames before, which stay with the first one.", advanced=True),
        _count("lead_out", 0, "Frames after, which stay with the last one.", advanced=True),
    )


class FrameWeights(CheckedNode):
    """Makes a row of weights for the images of a batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreFrameWeights",
            display_name="Frame Weights",
            category=FRAMES,
            description="A weight for each image of a batch or clip: a list, a line, an ease, random numbers. Drawn as bars.",
            search_aliases=["ipadapter weights", "weights over frames", "animation", "ease", "fade", "ip adapter"],
            inputs=[
                io.String.Input(
                    "weights",
                    default="1.0, 0.0",
                    tooltip="With custom, the weights themselves. Else the first and the last number are where it goes from "
                    "and to.",
                ),
                io.Combo.Input(
                    "timing",
                    options=Timing,
                    default=Timing.LINEAR,
                    tooltip="How it goes from the first to the last weight.",
                ),
                _count("frames", 16, "How many weights there are, two at least. custom does not ask."),
                _count(
                    "start_frame", 0, "The first frame that moves; those before keep the first weight.", advanced=True
                ),
                _count("end_frame", 9999, "From here on the last weight stays.", advanced=True),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=2**63 - 1,
                    optional=True,
                    advanced=True,
                    tooltip="For random: the same seed, the same weights.",
                ),
                io.String.Input(
                    "before",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="Weights that come first, from another Frame Weights: so rows are put one after the other.",
                ),
            ],
            outputs=[
                io.String.Output(
                    "weights", tooltip="For frame_weights of Apply IP-Adapter, or References over Frames."
                ),
                io.Int.Output("frames", tooltip="How many weights there are: for the batch size."),
            ],
        )

    @classmethod
    def execute(
        cls,
        weights: str,
        timing: str,
        frames: int,
        start_frame: int = 0,
        end_frame: int = 9999,
        seed: int = 0,
        before: str = "",
    ) -> io.NodeOutput:
        """Makes the row and draws it."""
        given, first = (
            read_numbers(weights, "weights of Frame Weights"),
            read_numbers(before, "before of Frame Weights"),
        )
        row = first + ramp_weights(given, Ramp(Timing(timing), frames, start_frame, end_frame, seed))
        return io.NodeOutput(written_numbers(row), len(row), ui=ui.PreviewImage(plot_frames(row), cls=cls))


class ReferencesOverFrames(CheckedNode):
    """Lets references follow one another over the images of a batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreReferencesOverFrames",
            display_name="References over Frames",
            category=FRAMES,
            description="Lets the references of an image prompt follow one another, or fade into one another, over a batch.",
            search_aliases=[
                "shift batches",
                "alternate batches",
                "cross fade",
                "blend references",
                "animation",
                "ip adapter",
            ],
            inputs=[
                ImagePromptSocket.Input(
                    "image_prompt", tooltip="The references in their order, as a batch or combined."
                ),
                io.String.Input(
                    "weights",
                    default="1.0, 0.0",
                    tooltip="The weights of each transition, one for each frame: from Frame Weights.",
                ),
                io.Combo.Input(
                    "method",
                    options=FrameMethod,
                    default=FrameMethod.SHIFT,
                    tooltip="full batch: each reference by itself, with these weights. shift: from each to the next. "
                    "alternate: the same, where even references stay in one output and odd ones in the other.",
                ),
                *_leads(),
            ],
            outputs=[
                ImagePromptSocket.Output(
                    "image_prompt", tooltip="For an Apply IP-Adapter with references 'one per frame'."
                ),
                ImagePromptSocket.Output("image_prompt_2", tooltip="For a second one behind it: what is faded into."),
                io.String.Output("weights", tooltip="The weight of the first output in every frame."),
                io.Int.Output("frames", tooltip="How many frames there are in all: for the batch size."),
                io.Int.Output("frames_each", tooltip="How many frames each way takes: for Prompts over Frames."),
            ],
        )

    @classmethod
    def execute(
        cls, image_prompt: ImagePrompt, weights: str, method: str, lead_in: int = 0, lead_out: int = 0
    ) -> io.NodeOutput:
        """Lays the references out."""
        row = read_numbers(weights, "weights of References over Frames") or (1.0,)
        plan = frame_plan(row, len(image_prompt.references), FrameMethod(method), lead_in, lead_out)
        first, second = references_over_frames(image_prompt, plan)
        return io.NodeOutput(first, second, written_numbers(plan.weights), len(plan.weights), len(row))


class PromptsOverFrames(CheckedNode):
    """Lets text prompts follow one another over the images of a batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCorePromptsOverFrames",
            display_name="Prompts over Frames",
            category=FRAMES,
            description="A text prompt for each stretch of frames, beside References over Frames.",
            search_aliases=["prompt schedule", "prompt travel", "weights strategy", "fizznodes", "animation"],
            inputs=[
                io.Clip.Input("clip", tooltip="The checkpoint's text encoder."),
                io.String.Input("prompts", default="", multiline=True, tooltip="A line for each stretch of frames."),
                _count("frames_each", 16, "How many frames each line has: from References over Frames.", least=1),
                *_leads(),
            ],
            outputs=[
                io.Conditioning.Output("CONDITIONING", tooltip="For the sampler, with a batch of as many images."),
                io.String.Output(
                    "schedule", tooltip="The same as keyframes, for batch prompt schedules of other packs."
                ),
            ],
        )

    @classmethod
    def execute(cls, clip: CLIP, prompts: str, frames_each: int, lead_in: int = 0, lead_out: int = 0) -> io.NodeOutput:
        """Encodes every line."""
        lines = [line.strip() for line in prompts.splitlines() if line.strip()] or [""]
        words = [clip.encode_from_tokens_scheduled(clip.tokenize(line)) for line in lines]
        conditioning = words_over_frames(words, frames_each, lead_in, lead_out)
        return io.NodeOutput(conditioning, prompt_schedule(lines, frames_each, lead_in))
