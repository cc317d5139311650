"""The nodes around embeds."""

from pathlib import Path
from typing import Any

import torch

import folder_paths
from comfy_api.latest import io

from ...ipadapter_core.compat.apply import apply_embeds
from ...ipadapter_core.compat.embeds import combine_embeds, embeds_of
from ...ipadapter_core.compat.encode import encode_embeds
from ...ipadapter_core.compat.first_release import first_embeds
from ...ipadapter_core.compat.pipeline import pipeline_of
from ...ipadapter_core.compat.request import Request
from ...ipadapter_core.prompt.combine import Combination
from ...ipadapter_core.prompt.files import EMBEDS, read_embeds
from ..compat import methods
from ..file_names import known_name
from .inputs import (
    EmbedsSocket,
    adapter,
    apply_schema,
    attn_mask,
    choice,
    clip_vision,
    image,
    number,
    other_schema,
    scaling,
    weight,
    weight_type,
    window,
)
from .old_node import OldNode, called_as

CATEGORY = "ipadapter/embeds"


def _embeds(name: str, optional: bool = False) -> io.Input:
    return EmbedsSocket.Input(name, optional=optional, tooltip="From IPAdapter Encoder, or combined or loaded ones.")


def _apply_inputs() -> list[io.Input]:
    first = [_embeds("pos_embed"), weight(3), weight_type(), *window(), scaling()]
    return [*first, _embeds("neg_embed", True), attn_mask(), clip_vision()]


@called_as(methods.EMBEDS)
class OldEmbeds(OldNode):
    """*IPAdapter Embeds*."""

    unfold = False

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return apply_schema("IPAdapterEmbeds", "IPAdapter Embeds", CATEGORY, _apply_inputs())

    @classmethod
    def execute(cls, model: Any, ipadapter: Any, pos_embed: Any, neg_embed: Any = None, **inputs: Any) -> io.NodeOutput:
        """Applies what is encoded already."""
        request = Request(**inputs, unfold=cls.unfold)
        negative = None if neg_embed is None else embeds_of(neg_embed)
        return io.NodeOutput(apply_embeds(model, pipeline_of(ipadapter), request, embeds_of(pos_embed), negative))


class OldEmbedsBatch(OldEmbeds):
    """*IPAdapter Embeds Batch*."""

    unfold = True

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return apply_schema("IPAdapterEmbedsBatch", "IPAdapter Embeds Batch", CATEGORY, _apply_inputs())


@called_as(methods.ENCODE, methods.FIRST_ENCODE)
class OldEncoder(OldNode):
    """*IPAdapter Encoder*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        factor = number("weight", "What the embeds are multiplied by.", (-1.0, 3.0), 1.0, 0.01)
        shown = io.Mask.Input("mask", optional=True, tooltip="What to look at in the reference.")
        outputs = [EmbedsSocket.Output(display_name=name) for name in ("pos_embed", "neg_embed")]
        inputs = [adapter(), image(), factor, shown, clip_vision()]
        return other_schema("IPAdapterEncoder", "IPAdapter Encoder", CATEGORY, inputs, outputs)

    @classmethod
    def execute(
        cls, ipadapter: Any = None, image: Any = None, weight: float = 1.0, mask: Any = None, clip_vision: Any = None,
        **former: Any,
    ) -> io.NodeOutput:  # fmt: skip
        """Encodes every image of the batch; until March 2024 there was no adapter, and one output for both sides."""
        if ipadapter is None:
            first = {"image_1": image} if image is not None else {}
            return io.NodeOutput(first_embeds(clip_vision, first | former))
        return io.NodeOutput(*encode_embeds(pipeline_of(ipadapter), image, weight, mask, clip_vision))


@called_as(methods.COMBINE_EMBEDS)
class OldCombineEmbeds(OldNode):
    """*IPAdapter Combine Embeds*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        method = choice("method", list(Combination), "Side by side, or mixed into one.")
        inputs = [_embeds("embed1"), method, *(_embeds(f"embed{number}", True) for number in range(2, 6))]
        outputs = [EmbedsSocket.Output(display_name="EMBEDS")]
        return other_schema("IPAdapterCombineEmbeds", "IPAdapter Combine Embeds", CATEGORY, inputs, outputs)

    @classmethod
    def execute(cls, method: str = "concat", **embeds: Any) -> io.NodeOutput:
        """Combines in the order of the sockets."""
        given = [embeds_of(embeds[name]) for name in sorted(embeds) if embeds[name] is not None]
        return io.NodeOutput(combine_embeds(given, Combination(method)))


@called_as(methods.SAVE)
class OldSaveEmbeds(OldNode):
    """*IPAdapter Save Embeds*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        name = io.String.Input("filename_prefix", default="IP_embeds", tooltip="The file's name in the output folder.")
        inputs = [_embeds("embeds"), name]
        node = ("IPAdapterSaveEmbeds", "IPAdapter Save Embeds", CATEGORY)
        return other_schema(*node, inputs, [], is_output_node=True)

    @classmethod
    def execute(cls, embeds: Any, filename_prefix: str = "IP_embeds") -> io.NodeOutput:
        """Writes one tensor, so that ComfyUI_IPAdapter_plus can read it, too."""
        folder, name, counter, *_ = folder_paths.get_save_image_path(
            filename_prefix, folder_paths.get_output_directory()
        )
        torch.save(embeds_of(embeds).corrected.contiguous().clone(), Path(folder) / f"{name}_{counter:05}{EMBEDS}")
        return io.NodeOutput()


@called_as(methods.LOAD)
class OldLoadEmbeds(OldNode):
    """*IPAdapter Load Embeds*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        names = choice("embeds", sorted(_files()), "An .ipadpt file in the input folder or below it.")
        outputs = [EmbedsSocket.Output(display_name="EMBEDS")]
        return other_schema("IPAdapterLoadEmbeds", "IPAdapter Load Embeds", CATEGORY, [names], outputs)

    @classmethod
    def execute(cls, embeds: str) -> io.NodeOutput:
        """Reads tensors only."""
        files = _files()
        return io.NodeOutput(embeds_of(read_embeds(files[known_name(embeds, files)])))


def _files() -> dict[str, Path]:
    root = Path(folder_paths.get_input_directory())
    return {str(path.relative_to(root)): path for path in root.rglob(f"*{EMBEDS}")}


NODES = [OldEmbeds, OldEmbedsBatch, OldEncoder, OldCombineEmbeds, OldSaveEmbeds, OldLoadEmbeds]
