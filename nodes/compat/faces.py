"""The apply nodes that may look for faces."""

from comfy_api.latest import io

from ...ipadapter_core.compat.apply import apply_request
from ...ipadapter_core.compat.pipeline import pipeline_of
from ...ipadapter_core.compat.request import Request
from .apply import OldApply
from .inputs import apply_schema, combine_embeds, image, scaling, usual_optional, weight, weight_type, window

CATEGORY = "ipadapter/faceid"


def _structure() -> io.Input:
    return weight(5.0, "weight_faceidv2", "FaceID Plus V2: how much of the look of the face, beside its identity.")


def _inputs(*further: io.Input, most: float = 3) -> list[io.Input]:
    first = [image(), weight(most), _structure(), *further, weight_type(), combine_embeds(), *window(), scaling()]
    return [*first, *usual_optional(faces=True)]


def _face_image() -> list[io.Output]:
    return [io.Image.Output(display_name="face_image")]


class OldFaceID(OldApply):
    """*IPAdapter FaceID*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return apply_schema("IPAdapterFaceID", "IPAdapter FaceID", CATEGORY, _inputs(), _face_image())

    @classmethod
    def execute(cls, model, ipadapter, **inputs) -> io.NodeOutput:
        """The faces come out, too."""
        applied = apply_request(model, pipeline_of(ipadapter), Request(**inputs, unfold=cls.unfold))
        return io.NodeOutput(applied.model, applied.faces)


class OldFaceIDBatch(OldFaceID):
    """*IPAdapter FaceID Batch*, whose id has always had one letter too many."""

    unfold = True

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        return apply_schema("IPAAdapterFaceIDBatch", "IPAdapter FaceID Batch", CATEGORY, _inputs(), _face_image())


class OldFaceIDKolors(OldFaceID):
    """*IPAdapter FaceID Kolors*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        kolors = weight(5.0, "weight_kolors", "What the image tokens are multiplied by in Kolors' own projection.")
        return apply_schema(
            "IPAdapterFaceIDKolors", "IPAdapter FaceID Kolors", CATEGORY, _inputs(kolors), _face_image()
        )


class OldMadScientist(OldApply):
    """*IPAdapter Mad Scientist*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        layers = io.String.Input(
            "layer_weights",
            default="",
            multiline=True,
            tooltip="Blocks by index in running order, '3: 1.0, 6: 0.5'; the others are silent.",
        )
        inputs = [image(), weight(), _structure(), weight_type(), combine_embeds(), *window(), scaling(), layers]
        inputs += usual_optional(faces=True)
        return apply_schema("IPAdapterMS", "IPAdapter Mad Scientist", "ipadapter/dev", inputs)


NODES = [OldFaceID, OldFaceIDKolors, OldFaceIDBatch, OldMadScientist]
