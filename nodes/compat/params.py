"""The nodes around regional parameters: rows of a picture, its mask, its weight and its window."""

from node_helpers import conditioning_set_values

from comfy_api.latest import io

from ...ipadapter_core.compat.apply import apply_request
from ...ipadapter_core.compat.pipeline import pipeline_of
from ...ipadapter_core.compat.request import Request
from .inputs import (
    ParamsSocket,
    apply_schema,
    combine_embeds,
    image,
    number,
    other_schema,
    scaling,
    usual_optional,
    weight_type,
    window,
)

CATEGORY = "ipadapter/params"
COLUMNS = ("image", "attn_mask", "weight", "weight_type", "start_at", "end_at")  # the names in other packs' params, too
MOST = 5


class OldFromParams(io.ComfyNode):
    """*IPAdapter from Params*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        params = ParamsSocket.Input("ipadapter_params", tooltip="From IPAdapter Regional Conditioning.")
        inputs = [params, combine_embeds(), scaling(), *usual_optional(mask=False)]
        return apply_schema("IPAdapterFromParams", "IPAdapter from Params", CATEGORY, inputs)

    @classmethod
    def execute(cls, model, ipadapter, ipadapter_params, **inputs) -> io.NodeOutput:
        """One application for each row that has a picture."""
        pipeline = pipeline_of(ipadapter)
        for values in zip(*(ipadapter_params[column] for column in COLUMNS), strict=True):
            row = dict(zip(COLUMNS, values, strict=True))
            if row["image"] is not None:
                model = apply_request(model, pipeline, Request(**inputs, **row)).model
        return io.NodeOutput(model)


class OldRegionalConditioning(io.ComfyNode):
    """*IPAdapter Regional Conditioning*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        inputs = [
            image(),
            number("image_weight", "How strongly the reference acts in its region.", (-1.0, 3.0)),
            number("prompt_weight", "How strongly the prompt acts in its region.", (0.0, 10.0)),
            weight_type(),
            *window(),
            io.Mask.Input("mask", optional=True, tooltip="The region."),
            io.Conditioning.Input("positive", optional=True, tooltip="A prompt for the region."),
            io.Conditioning.Input("negative", optional=True, tooltip="A negative prompt for the region."),
        ]
        outputs = [ParamsSocket.Output(display_name="IPADAPTER_PARAMS")]
        outputs += [io.Conditioning.Output(display_name=name) for name in ("POSITIVE", "NEGATIVE")]
        name = "IPAdapter Regional Conditioning"
        return other_schema("IPAdapterRegionalConditioning", name, CATEGORY, inputs, outputs)

    @classmethod
    def execute(  # noqa: PLR0913 - an argument for each input
        cls, image, image_weight, prompt_weight, weight_type, start_at, end_at, mask=None, positive=None, negative=None
    ) -> io.NodeOutput:
        """A row of parameters, and prompts confined to the region."""
        values = (image, mask, image_weight, weight_type, start_at, end_at)
        params = {column: [value] for column, value in zip(COLUMNS, values, strict=True)}
        region = {"mask": mask, "set_area_to_bounds": False, "mask_strength": prompt_weight}
        prompts = [
            one if one is None or mask is None else conditioning_set_values(one, region) for one in (positive, negative)
        ]
        return io.NodeOutput(params, *prompts)


class OldCombineParams(io.ComfyNode):
    """*IPAdapter Combine Params*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        inputs = [
            ParamsSocket.Input(f"params_{place}", optional=place > 2, tooltip="Rows of parameters.")
            for place in range(1, MOST + 1)
        ]
        outputs = [ParamsSocket.Output(display_name="IPADAPTER_PARAMS")]
        return other_schema("IPAdapterCombineParams", "IPAdapter Combine Params", CATEGORY, inputs, outputs)

    @classmethod
    def execute(cls, **params) -> io.NodeOutput:
        """All rows in the order of the sockets; what came in stays as it was."""
        given = [params[name] for name in sorted(params) if params[name] is not None]
        return io.NodeOutput({column: [value for one in given for value in one[column]] for column in COLUMNS})


NODES = [OldFromParams, OldRegionalConditioning, OldCombineParams]
