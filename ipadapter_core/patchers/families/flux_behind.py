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
from ...sampling.sequence_split import TokenPart, token_part
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
        if not plan.acts(self.block):
            return out
        references, before, part = sum(options.get("reference_image_num_tokens", ())), 0, None
        if self.block[0] == "single":
            before, part = self._image_rows(out["img"].shape[1], options["img_slice"][0], references, plan)
        rows = out["img"][:, before:]
        total = self._additions(rows, plan, references, part) if rows.shape[1] else None
        if total is None:
            return out
        if self.previous is None and not torch.is_grad_enabled():
            rows += total  # nobody else holds what the block returned
            return out
        return out | {"img": torch.cat((out["img"][:, :before], rows + total), dim=1)}

    def _image_rows(self, tokens: int, text: int, references: int, plan: ModelCallPlan) -> tuple[int, TokenPart | None]:
        """How many of a single block's rows are text, and where an engine splits sequences, which part of the image's the
        others are.

        Raises `SamplingError` where that cannot be known; a pack may append tokens of its own.
        """
        rows, columns = patch_grid(plan.layout.latent)
        total = text + rows * columns + references
        if tokens == total or (plan.split is None and tokens > total):
            return text, None
        part = token_part(plan.split, tokens, total, 1) if plan.split else None
        if part is None:
            raise SamplingError(
                f"single block {self.block[1]} is called with {tokens} tokens of text and image, where {total} were expected, "
                "so that it cannot be known which are the image's: take out the node or engine that splits or merges "
                "tokens, or Apply IP-Adapter"
            )
        before = min(max(text - part.start, 0), tokens)
        return before, TokenPart(max(part.start - text, 0), tokens - before, part.padding)

    def _additions(self, rows: Tensor, plan: ModelCallPlan, references: int, part: TokenPart | None) -> Tensor | None:
        """What is added to rows (B, L, D), all of the image's or a part; `references`, the last of all, are to be edited."""
        hidden = layer_norm(rows, rows.shape[-1:])
        call = LayerCall(hidden, 1, (patch_grid(plan.layout.latent),), 0, references, unit=1, part=part)
        total: Tensor | None = None
        for _, to in plan.key_values(self.block, call):
            added = Weighed(folded_attention(hidden, to.key, to.value), to.multiplier)
            total = add_weighed(total, added, exclusive=True)
        return total
