"""The nodes around regional parameters: rows of an image, its mask, its weight and its window."""

from typing import Any

from node_helpers import conditioning_set_values

from comfy_api.latest import io

from ...ipadapter_core.compat.call import COLUMNS
from .apply import OldApply
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
from .methods import COMBINE_PARAMS, REGION
from .old_node import OldNode, called_as

CATEGORY = "ipadapter/params"
MOST = 5


class OldFromParams(OldApply):
    """*IPAdapter from Params*."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        params = ParamsSocket.Input("ipadapter_params", tooltip="From IPAdapter Regional Conditioning.")
        inputs = [params, combine_embeds(), scaling(), *usual_optional(mask=False)]
        return apply_schema("IPAdapterFromParams", "IPAdapter from Params", CATEGORY, inputs)


@called_as(REGION)
class OldRegionalConditioning(OldNode):
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
        cls,
        image: Any,
        image_weight: float,
        prompt_weight: float,
        weight_type: str,
        start_at: float,
        end_at: float,
        mask: Any = None,
        positive: Any = None,
        negative: Any = None,
    ) -> io.NodeOutput:
        """A row of parameters, and prompts confined to the region."""
        values = (image, mask, image_weight, weight_type, start_at, end_at)
        params = {column: [value] for column, value in zip(COLUMNS, values, strict=True)}
        region = {"mask": mask, "set_area_to_bounds": False, "mask_strength": prompt_weight}
        prompts = [
            one if one is None or mask is None else conditioning_set_values(one, region) for one in (positive, negative)
        ]
        return io.NodeOutput(params, *prompts)


@called_as(COMBINE_PARAMS)
class OldCombineParams(OldNode):
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
    def execute(cls, **params: Any) -> io.NodeOutput:
        """All rows in the order of the sockets; what came in stays as it was."""
        given = [params[name] for name in sorted(params) if params[name] is not None]
        return io.NodeOutput({column: [value for one in given for value in one[column]] for column in COLUMNS})


NODES = [OldFromParams, OldRegionalConditioning, OldCombineParams]
