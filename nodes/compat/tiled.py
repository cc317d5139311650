"""The apply nodes that cut their reference into tiles."""

from dataclasses import replace
from typing import Any

import torch

from comfy_api.latest import io

from ...ipadapter_core.compat.apply import apply_request
from ...ipadapter_core.compat.pipeline import pipeline_of
from ...ipadapter_core.compat.request import Request
from ...ipadapter_core.compat.tiles import old_tiles_of, tiles_of
from .inputs import (
    apply_schema,
    batch_size,
    combine_embeds,
    image,
    scaling,
    sharpening,
    usual_optional,
    weight,
    weight_type,
    window,
)
from .methods import TILED
from .old_node import OldNode, called_as

CATEGORY = "ipadapter/tiled"


def _outputs() -> list[io.Output]:
    return [io.Image.Output(display_name="tiles"), io.Mask.Output(display_name="masks")]


@called_as(TILED)
class OldTiled(OldNode):
    """*IPAdapter Tiled*."""

    unfold = False

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        inputs = [image(), weight(3), weight_type(), combine_embeds(), *window(), sharpening(), scaling()]
        return apply_schema(
            "IPAdapterTiled", "IPAdapter Tiled", CATEGORY, [*inputs, *usual_optional()], _outputs()
        )  # fmt: skip

    @classmethod
    def execute(
        cls, model: Any, ipadapter: Any, image: Any, sharpening: float = 0.0, attn_mask: Any = None, **inputs: Any
    ) -> io.NodeOutput:
        """One application for each tile."""
        request = Request(**inputs, unfold=cls.unfold)
        cut = old_tiles_of if request.as_plus else tiles_of
        tiles = cut(image, attn_mask, sharpening)
        for tile in tiles:
            part = replace(request, image=tile.picture, attn_mask=tile.mask)
            model = apply_request(model, pipeline_of(ipadapter), part).model
        pictures, masks = (
            torch.cat(parts) for parts in zip(*((tile.picture, tile.shown) for tile in tiles), strict=True)
        )
        return io.NodeOutput(model, pictures, masks)


class OldTiledBatch(OldTiled):
    """*IPAdapter Tiled Batch*."""

    unfold = True

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Inputs and outputs."""
        inputs = [image(), weight(3), weight_type(), *window(), sharpening(), scaling(), batch_size()]
        return apply_schema(
            "IPAdapterTiledBatch", "IPAdapter Tiled Batch", CATEGORY, [*inputs, *usual_optional()], _outputs()
        )  # fmt: skip


NODES = [OldTiled, OldTiledBatch]
