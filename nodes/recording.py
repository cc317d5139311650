"""*Record Attention*, *Attention Maps* and *Save Image with Metadata*."""

import json
from types import SimpleNamespace

from torch import Tensor

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io, ui

from ..ipadapter_core.diagnostics.attention_maps import as_masks, attention_maps, overlays
from ..ipadapter_core.diagnostics.record import record_attention
from ..ipadapter_core.diagnostics.recording import Measure, Recording
from ..ipadapter_core.diagnostics.trace import KEY, in_words, trace_of
from ..ipadapter_core.inputs.texts import read_json
from .checked import CheckedNode, declared
from .sockets import INSPECT, RunSocket


class WatchIPAdapter(CheckedNode):
    """Takes notes while a model is sampled."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreWatch",
            display_name="Record Attention",
            category=INSPECT,
            description="Takes notes while the model is sampled, for Attention Maps and Save Image with Metadata. The image "
            "stays the same; without this node nothing is noted and nothing is slower.",
            search_aliases=["attention maps", "attention recorder", "ip adapter debug", "heat map", "trace"],
            inputs=[
                io.Model.Input("model", tooltip="From Apply IP-Adapter; put this node right before the sampler."),
                io.Boolean.Input(
                    "attention_maps",
                    default=True,
                    tooltip="Off: only what Save Image with Metadata writes is noted, which costs nothing.",
                ),
            ],
            outputs=[
                io.Model.Output("MODEL", tooltip="For the sampler."),
                RunSocket.Output(
                    "run", tooltip="The notes of the last run, for Attention Maps and Save Image with Metadata."
                ),
            ],
        )

    @classmethod
    def execute(cls, model: ModelPatcher, attention_maps: bool) -> io.NodeOutput:
        """Makes a clone with an empty notebook."""
        return io.NodeOutput(*record_attention(model, attention_maps))


class AttentionMaps(CheckedNode):
    """Shows where each reference is attended to."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreAttentionMaps",
            display_name="Attention Maps",
            category=INSPECT,
            description="A heat map over the image for each reference: where its tokens are attended to. The masks can be "
            "used like any other mask.",
            search_aliases=[
                "attention maps",
                "heat map",
                "heatmap",
                "daam",
                "where does the reference act",
                "ip adapter",
            ],
            inputs=[
                RunSocket.Input("run", tooltip="From Record Attention."),
                io.Image.Input("image", tooltip="The image from the sampler that Record Attention is connected to."),
                io.Combo.Input(
                    "measure",
                    options=Measure,
                    default=Measure.CONTRIBUTION,
                    tooltip="contribution: how much the reference adds at each place. attention share: how the attention is "
                    "split among several references; a single one has all of it everywhere.",
                ),
                io.String.Input(
                    "blocks",
                    default="",
                    tooltip="Which blocks count: 'middle, output', 'input 4', or in running order '3, 5-8'. Empty: all.",
                ),
                io.Float.Input(
                    "threshold",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="0: soft masks. Above: white where a map is at least this part of its highest place.",
                ),
            ],
            outputs=[
                io.Image.Output("overlays", tooltip="Heat over the dimmed image: for each reference, each image."),
                io.Mask.Output("masks", tooltip="The same maps from 0 to 1, in the same order."),
            ],
        )

    @classmethod
    def execute(cls, run: Recording, image: Tensor, measure: str, blocks: str, threshold: float) -> io.NodeOutput:
        """Reads the notes."""
        height, width = image.shape[1:3]
        masks = as_masks(attention_maps(run, Measure(measure), (height, width), blocks), threshold)
        shown = overlays(masks, image)
        return io.NodeOutput(shown, masks, ui=ui.PreviewImage(shown, cls=cls))


class SaveWithTrace(CheckedNode):
    """Saves images together with what went into them."""

    reads_alpha = True

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return io.Schema(
            node_id="IPAdapterCoreSaveTrace",
            display_name="Save Image with Metadata",
            category=INSPECT,
            description="Saves like Save Image, and writes into the file what the image prompt was: adapter, references as "
            "the encoder saw them, tokens, layers, steps, and scores.",
            search_aliases=["save image", "metadata", "pnginfo", "trace", "provenance", "ip adapter"],
            is_output_node=True,
            inputs=[
                io.Image.Input("images", tooltip="The image from the sampler that Record Attention is connected to."),
                RunSocket.Input("run", tooltip="From Record Attention."),
                io.String.Input(
                    "filename_prefix",
                    default="ip_adapter",
                    tooltip="As in Save Image: a folder and a name to begin with.",
                ),
                io.String.Input(
                    "scores",
                    optional=True,
                    force_input=True,
                    tooltip="From Score Images, to be written into the file.",
                ),
            ],
            hidden=[io.Hidden.prompt, io.Hidden.extra_pnginfo],
            outputs=[io.String.Output("trace", tooltip="The same as JSON.")],
        )

    @classmethod
    def execute(cls, images: Tensor, run: Recording, filename_prefix: str, scores: str | None = None) -> io.NodeOutput:
        """Writes PNG files through ComfyUI's own helper."""
        measured = {"scores": read_json(scores, f"scores of {declared(cls).name}")} if scores else {}
        trace = trace_of(run) | measured
        metadata = (cls.hidden.extra_pnginfo or {}) | {KEY: trace}
        holder = SimpleNamespace(hidden=SimpleNamespace(prompt=cls.hidden.prompt, extra_pnginfo=metadata))
        saved = ui.ImageSaveHelper.get_save_images_ui(images, filename_prefix, holder)
        shown = saved.as_dict() | ui.PreviewText(in_words(trace)).as_dict()
        return io.NodeOutput(json.dumps(trace), ui=shown)
