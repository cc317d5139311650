"""The ids that ComfyUI_IPAdapter_plus had from September 2023 to March 2024."""

from collections.abc import Sequence
from typing import Any

from comfy_api.latest import io

from ...ipadapter_core.compat import first_release
from ...ipadapter_core.compat.pipeline import pipeline_of
from ...ipadapter_core.compat.prepare_image import Crop
from ...ipadapter_core.compat.request import Request
from ...ipadapter_core.encoders.face.analysis import load_analysis
from ...ipadapter_core.encoders.face.encode import PlusVersion
from ..compat import methods
from ..folders import face_model_folders
from .inputs import (
    EmbedsSocket,
    InsightFaceSocket,
    adapter,
    attn_mask,
    choice,
    image,
    number,
    sharpening,
    weight,
    whole,
    window,
)
from .load import PROVIDERS
from .old_node import OldNode, called_as

CATEGORY = "ipadapter/2023"
DESCRIPTION = (
    "As in ComfyUI_IPAdapter_plus until March 2024, so that workflows of then run; its help page names today's nodes."
)


def _schema(node_id: str, name: str, inputs: Sequence[io.Input], *outputs: io.Output) -> io.Schema:
    return io.Schema(
        node_id=node_id,
        display_name=name,
        category=CATEGORY,
        description=DESCRIPTION,
        inputs=list(inputs),
        outputs=list(outputs),
        is_deprecated=True,
    )


def _model() -> io.Input:
    return io.Model.Input("model", tooltip="The model to steer; a patched copy comes out.")


def _vision() -> io.Input:
    return io.ClipVision.Input("clip_vision", tooltip="The image encoder.")


def _noise() -> io.Input:
    return number(
        "noise", "How noisy the negative is that is made of the reference; 0 for the usual one.", (0, 1), 0.0, 0.01
    )


def _kind() -> io.Input:
    return choice("weight_type", list(first_release.SCALINGS), "What the weight multiplies.")


def _unfold() -> io.Input:
    return io.Boolean.Input("unfold_batch", default=False, tooltip="Image i of the result has reference i.")


@called_as(methods.FIRST_APPLY)
class FirstApply(OldNode):
    """*Apply IPAdapter*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        first = [adapter(), _vision(), image(), _model(), weight(3), _noise(), _kind(), *window(), _unfold()]
        return _schema(
            "IPAdapterApply", "Apply IPAdapter", [*first, attn_mask()], io.Model.Output(display_name="MODEL")
        )

    @classmethod
    def execute(
        cls, model: Any, ipadapter: Any, noise: float = 0.0, weight_type: str = "original", **inputs: Any
    ) -> io.NodeOutput:
        """Encodes and applies."""
        applied = first_release.apply_first(model, pipeline_of(ipadapter), _request(weight_type, inputs), noise)
        return io.NodeOutput(applied.model)


@called_as(methods.FIRST_APPLY)
class FirstFaceID(FirstApply):
    """*Apply IPAdapter FaceID*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        faces = InsightFaceSocket.Input("insightface", tooltip="Finds and knows the faces.")
        second = io.Boolean.Input("faceid_v2", default=False, tooltip="The file is FaceID Plus V2.")
        look = weight(3, "weight_v2", "FaceID Plus V2: how much of the look of the face, beside its identity.")
        inputs = [adapter(), _vision(), faces, image(), _model(), weight(3), _noise(), _kind(), *window(), second, look]
        name = "Apply IPAdapter FaceID"
        model = io.Model.Output(display_name="MODEL")
        return _schema("IPAdapterApplyFaceID", name, [*inputs, _unfold(), attn_mask()], model)


@called_as(methods.FIRST_APPLY)
class FirstTiles(OldNode):
    """*IPAdapter Masked Tiles (experimental)*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        tiles = [
            whole("short_side_tiles", "How many tiles along the short side; 0 for none.", (0, 12), 1),
            number("tile_weight", "How strongly small tiles act where there are large ones, too.", (0.0, 1.0), 0.6),
        ]
        strength = number("weight", "How strongly the reference acts.", (-1, 3), 0.7)
        inputs = [adapter(), _vision(), image(), _model(), strength, _noise(), _kind(), *window(), *tiles]
        name = "IPAdapter Masked Tiles (experimental)"
        return _schema("IPAdapterTilesMasked", name, inputs, io.Model.Output(display_name="MODEL"))

    @classmethod
    def execute(  # noqa: PLR0913 - an argument for each input
        cls,
        model: Any,
        ipadapter: Any,
        image: Any,
        noise: float = 0.0,
        weight_type: str = "original",
        short_side_tiles: int = 1,
        tile_weight: float = 0.6,
        **inputs: Any,
    ) -> io.NodeOutput:
        """One application for each tile."""
        request = _request(weight_type, inputs | {"image": image})
        if short_side_tiles < 1:
            return io.NodeOutput(first_release.apply_first(model, pipeline_of(ipadapter), request, noise).model)
        tiles = first_release.tiles_of(image, short_side_tiles, tile_weight)
        return io.NodeOutput(first_release.apply_tiles(model, pipeline_of(ipadapter), request, noise, tiles).model)


@called_as(methods.FIRST_APPLY)
class FirstEncoded(OldNode):
    """*Apply IPAdapter from Encoded*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        embeds = EmbedsSocket.Input(
            "embeds", tooltip="Embeds with their negative, from an encoder or a file of that time."
        )
        inputs = [adapter(), embeds, _model(), weight(3), _kind(), *window(), _unfold(), attn_mask()]
        name = "Apply IPAdapter from Encoded"
        return _schema("IPAdapterApplyEncoded", name, inputs, io.Model.Output(display_name="MODEL"))

    @classmethod
    def execute(
        cls, model: Any, ipadapter: Any, embeds: Any, weight_type: str = "original", **inputs: Any
    ) -> io.NodeOutput:  # fmt: skip
        """Applies what is encoded already."""
        request = _request(weight_type, inputs)
        return io.NodeOutput(first_release.apply_pair(model, pipeline_of(ipadapter), request, embeds))


@called_as(methods.FIRST_BATCH)
class FirstBatchEmbeds(OldNode):
    """*IPAdapter Batch Embeds*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        inputs = [EmbedsSocket.Input(name, tooltip="Embeds of one or several images.") for name in ("embed1", "embed2")]
        output = EmbedsSocket.Output(display_name="EMBEDS")
        return _schema("IPAdapterBatchEmbeds", "IPAdapter Batch Embeds", inputs, output)

    @classmethod
    def execute(cls, embed1: Any, embed2: Any) -> io.NodeOutput:
        """The images of both."""
        return io.NodeOutput(first_release.join_pairs(embed1, embed2))


@called_as(methods.FIRST_FACES)
class FirstInsightFaceLoader(OldNode):
    """*Load InsightFace*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        inputs = [choice("provider", list(PROVIDERS)[:3], "What runs the face models.")]
        output = InsightFaceSocket.Output(display_name="INSIGHTFACE")
        return _schema("InsightFaceLoader", "Load InsightFace", inputs, output)

    @classmethod
    def execute(cls, provider: str = "CPU") -> io.NodeOutput:
        """Opens the sessions of buffalo_l."""
        return io.NodeOutput(load_analysis(face_model_folders()["buffalo_l"], PROVIDERS[provider]).analysis)


@called_as(methods.FIRST_PREPARE)
class FirstPrepImage(OldNode):
    """*Prepare Image For InsightFace*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        crops = [Crop.CENTER, Crop.TOP, Crop.BOTTOM, Crop.LEFT, Crop.RIGHT]
        border = io.Boolean.Input(
            "pad_around", default=True, tooltip="Leave a white border, so that large faces are found."
        )
        position = choice("crop_position", crops, "Which part of an image that is not square is kept.")
        inputs = [image(tooltip="The image."), position, sharpening(), border]
        output = io.Image.Output(display_name="IMAGE")
        return _schema("PrepImageForInsightFace", "Prepare Image For InsightFace", inputs, output)

    @classmethod
    def execute(cls, image: Any, crop_position: str, sharpening: float = 0.0, pad_around: bool = True) -> io.NodeOutput:
        """Makes squares of 640 pixels."""
        return io.NodeOutput(first_release.prepared_for_faces(image, Crop(crop_position), sharpening, pad_around))


def _request(kind: str, inputs: dict[str, Any]) -> Request:
    """The inputs of that time in the words of today; a weight type said what the weight multiplies."""
    renamed = {"attn_mask", "image", "clip_vision", "insightface", "weight", "start_at", "end_at", "weight_faceidv2"}
    given = {name: value for name, value in inputs.items() if name in renamed}
    version = PlusVersion.V2 if inputs.get("faceid_v2") else PlusVersion.V1
    version = version if "faceid_v2" in inputs else PlusVersion.AUTO
    scaling = first_release.SCALINGS[kind].value
    return Request(**given, plus_version=version, embeds_scaling=scaling, unfold=bool(inputs.get("unfold_batch")))


NODES = [
    FirstApply,
    FirstFaceID,
    FirstTiles,
    FirstEncoded,
    FirstBatchEmbeds,
    FirstInsightFaceLoader,
    FirstPrepImage,
]
