"""*Sweep IP-Adapter*, *Comparison Grid* and *Score Images*."""

from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor

from comfy.model_patcher import ModelPatcher
from comfy.sd import CLIP
from comfy_api.latest import io, ui

from ..ipadapter_core.adapter.managed import ManagedAdapter
from ..ipadapter_core.diagnostics.comparison_grid import comparison_grid
from ..ipadapter_core.diagnostics.score import ScoreTargets, encoder_mismatch_warning, score
from ..ipadapter_core.diagnostics.score_plots import plot_scores
from ..ipadapter_core.diagnostics.scores import as_json, balance, table
from ..ipadapter_core.diagnostics.sweep import Sweep, read_sweep
from ..ipadapter_core.encoders.image_encoder import ImageEncoder
from ..ipadapter_core.patchers.apply import apply_image_prompt
from ..ipadapter_core.prompt.image_prompt import ImagePrompt
from ..ipadapter_core.sampling.strength import Strength
from ..ipadapter_core.weights.layer_weights import LayerWeights
from .checked import CheckedNode
from .sockets import INSPECT, ImagePromptSocket, IPAdapterSocket, SweepSocket

Value = TypeVar("Value")


class SweepIPAdapter(CheckedNode):
    """Applies one image prompt in many ways."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreSweep",
            display_name="Sweep IP-Adapter",
            category=INSPECT,
            description="Apply IP-Adapter once for each weight under each layer preset. What follows runs once for each: "
            "sampler, decoder, then Comparison Grid and Score Images.",
            search_aliases=["xy plot", "compare weights", "weight sweep", "grid", "ip adapter"],
            inputs=[
                io.Model.Input("model", tooltip="The model to steer; it is not changed."),
                IPAdapterSocket.Input("ip_adapter", tooltip="The adapter that the image prompt was encoded for."),
                ImagePromptSocket.Input("image_prompt", tooltip="The image prompt that steers the model."),
                io.String.Input(
                    "weights", default="0, 0.25, 0.5, 0.75, 1, 1.25, 1.5", tooltip="The columns of the comparison."
                ),
                io.String.Input(
                    "presets",
                    default="linear",
                    tooltip="The rows: names of presets as in Layer Weights, 'linear, style transfer'.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    tooltip="Where in the run it starts to take effect, for all alike.",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.001,
                    tooltip="Where in the run it stops taking effect, for all alike.",
                ),
                io.Mask.Input("mask", optional=True, tooltip="Where in the result it acts, for all alike."),
            ],
            outputs=[
                io.Model.Output("MODEL", is_output_list=True, tooltip="A model for each variant; for one sampler."),
                SweepSocket.Output("sweep", tooltip="What the variants are; for Comparison Grid and Score Images."),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: ModelPatcher,
        ip_adapter: ManagedAdapter,
        image_prompt: ImagePrompt,
        weights: str,
        presets: str,
        start_percent: float,
        end_percent: float,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        """Patches a clone for each variant."""
        sweep = read_sweep(weights, presets)
        models = [
            apply_image_prompt(
                model,
                ip_adapter,
                image_prompt,
                Strength(variant.weight, start_percent, end_percent),
                mask,
                layer_weights=LayerWeights(variant.preset),
            )
            for variant in sweep.variants
        ]
        return io.NodeOutput(models, sweep)


class ComparisonGrid(CheckedNode):
    """Lays the images of a sweep side by side."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreGrid",
            display_name="Comparison Grid",
            category=INSPECT,
            description="The images of Sweep IP-Adapter side by side: a column for each weight, a row for each preset.",
            search_aliases=["xy plot", "image grid", "compare", "contact sheet", "ip adapter"],
            is_input_list=True,
            inputs=[
                io.Image.Input("images", tooltip="The decoded images, straight from the decoder."),
                SweepSocket.Input("sweep", tooltip="From the Sweep IP-Adapter whose models were sampled."),
                io.Image.Input("references", optional=True, tooltip="Shown in a column of their own."),
                io.Int.Input(
                    "tile", default=256, min=32, max=2048, step=8, tooltip="Pixels of an image's longer side."
                ),
                io.Int.Input(
                    "pictures",
                    default=1,
                    min=1,
                    max=16,
                    tooltip="How many images of a batch are shown of each variant.",
                ),
            ],
            outputs=[io.Image.Output("grid", tooltip="All images in one grid.")],
        )

    @classmethod
    def execute(
        cls,
        images: Sequence[Tensor],
        sweep: Sequence[Sweep],
        tile: Sequence[int],
        pictures: Sequence[int],
        references: Sequence[Tensor | None] = (),
    ) -> io.NodeOutput:
        """Draws the sheet; every input comes as a list."""
        grid = comparison_grid(images, sweep[0], tile[0], _given(references), pictures[0])
        return io.NodeOutput(grid, ui=ui.PreviewImage(grid, cls=cls))


class ScorePictures(CheckedNode):
    """Says in numbers whether the image prompt is helping."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreScore",
            display_name="Score Images",
            category=INSPECT,
            description="Is it helping? Similarity to each reference (CLIP-I) and to the prompt (CLIP-T), distance of the "
            "colours, and sharpness, as numbers, a table, and curves over the weights of a sweep.",
            search_aliases=["clip score", "clip-i", "clip-t", "similarity", "is it helping", "evaluate", "ip adapter"],
            is_input_list=True,
            inputs=[
                io.Image.Input("images", tooltip="Finished images; with a sweep, straight from the decoder."),
                io.Image.Input("references", optional=True, tooltip="What they should resemble, each image by itself."),
                io.ClipVision.Input(
                    "clip_vision", optional=True, tooltip="The image encoder that similarity is measured in."
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="For the prompt: a CLIP of the same family with its projection, such as SDXL's beside ViT-bigG.",
                ),
                io.String.Input("prompt", default="", multiline=True, tooltip="The text that the images should show."),
                io.Float.Input(
                    "prompt_scores",
                    optional=True,
                    force_input=True,
                    tooltip="Another scorer's number for each image, in place of clip and prompt.",
                ),
                SweepSocket.Input("sweep", optional=True, tooltip="From Sweep IP-Adapter: scores become curves."),
            ],
            outputs=[
                io.String.Output(
                    "scores", tooltip="All numbers as JSON, for a program or for Save Image with Metadata."
                ),
                io.String.Output("table", tooltip="The scores as a text table."),
                io.Image.Output("plot", tooltip="A panel for each score."),
                io.Float.Output(
                    "balanced_weight",
                    tooltip="The weight at which references and prompt both keep most; 1 where that cannot be told.",
                ),
            ],
        )

    @classmethod
    def execute(  # noqa: PLR0913 - an argument for each input
        cls,
        images: Sequence[Tensor],
        prompt: Sequence[str],
        references: Sequence[Tensor | None] = (),
        clip_vision: Sequence[ImageEncoder | None] | None = None,
        clip: Sequence[CLIP | None] | None = None,
        prompt_scores: Sequence[float | None] = (),
        sweep: Sequence[Sweep | None] | None = None,
    ) -> io.NodeOutput:
        """Measures; every input comes as a list."""
        encoder, text_encoder = _first(clip_vision), _first(clip)
        score_targets = ScoreTargets(
            tuple(_given(references)), encoder, text_encoder, prompt[0], tuple(_given(prompt_scores))
        )
        rows = score(images, score_targets, _first(sweep))
        best, plot = balance(rows), plot_scores(rows)
        text = "\n".join(line for line in (table(rows), encoder_mismatch_warning(score_targets)) if line)
        shown = ui.PreviewImage(plot, cls=cls).as_dict() | ui.PreviewText(text).as_dict()
        weight = 1.0 if best is None or best.weight is None else best.weight
        return io.NodeOutput(as_json(rows), text, plot, weight, ui=shown)


def _given(values: Sequence[Value | None] | None) -> list[Value]:
    return [value for value in values or () if value is not None]


def _first(values: Sequence[Value | None] | None) -> Value | None:
    return next(iter(_given(values)), None)
