"""FLUX.1 and Chroma, behind a block: a cross-attention of the adapter's own, asked with what the block hands on (PuLID).

    img += weight * mask * W_o Attn(W_q norm(img), K, V) for the rows of the image; text rows stay as they are

The projections are folded into keys and values, see `attention/folded_attention.py`.
Source: ToTheBeginning/PuLID (1aa2fc7), flux/model.py.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from ...attention.folded_attention import folded_attention
from ...errors import SamplingError
from ...masks.token_grid import patch_grid
from ...sampling.application import Block
from ...sampling.layer_call import LayerCall, Weighed, add_weighed
from ...sampling.plan import ModelCallPlan
from ..hooks.wrappers import PLAN, Options

BEHIND = 2  # the last number of a place: behind a block, with a query of the adapter's own


@dataclass(frozen=True, eq=False)
class BehindBlock:
    """Around one block: adds what all applications have for its image rows, each of them asked with the same rows."""

    block: Block
    previous: Any

    def __call__(self, args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        """ComfyUI's protocol of `patches_replace["dit"]`."""
        out = extra["original_block"](args) if self.previous is None else self.previous(args, extra)
        options: Options = args["transformer_options"]
        plan: ModelCallPlan = options[PLAN]
        text = options["img_slice"][0] if self.block[0] == "single" else 0
        references = sum(options.get("reference_image_num_tokens", ()))
        if text and plan.split is not None:
            self._check_whole(out["img"].shape[1] - text - references, plan)
        rows = out["img"][:, text:]
        total = self._additions(rows, plan, references)
        if total is None:
            return out
        if self.previous is None and not torch.is_grad_enabled():
            rows += total  # nobody else holds what the block returned
            return out
        return out | {"img": torch.cat((out["img"][:, :text], rows + total), dim=1)}

    def _check_whole(self, tokens: int, plan: ModelCallPlan) -> None:
        """Raises `SamplingError` where an engine has given this block a part of text and image, and the adapter acts."""
        rows, columns = patch_grid(plan.layout.latent)
        if tokens != rows * columns and plan.acts(self.block):
            raise SamplingError(
                f"single block {self.block[1]} has a part of the text's and the image's tokens, and this adapter needs to know "
                "which are which: take out the engine that splits sequences, or Apply IP-Adapter"
            )

    def _additions(self, rows: Tensor, plan: ModelCallPlan, references: int) -> Tensor | None:
        """What is added to rows (B, L, D); `references` of them, the last ones, are images to be edited."""
        hidden = layer_norm(rows, rows.shape[-1:])
        call = LayerCall(hidden, 1, (patch_grid(plan.layout.latent),), 0, references, unit=1)
        total: Tensor | None = None
        for _, to in plan.key_values(self.block, call):
            added = Weighed(folded_attention(hidden, to.key, to.value), to.multiplier)
            total = add_weighed(total, added, exclusive=True)
        return total
