"""PuLID for SDXL in miniature: keys and shapes of its files, and its published equations stated anew, in float64."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from pack.tools.miniature.pulid import CONDITION, LOOK, STATES, Shapes, id_former, mapping, part_of, stated_mapping
from pack.tools.miniature.pulid import stated_former as stated_former_of
from torch import Tensor

HIDDEN = 96  # width inside the identity's layers
WAYS = {"none": None, "v1": 0.0, "v2": 1.0}  # of the projection: how much of the first tokens' share spares it


def id_encoder(context: int, hidden: int = HIDDEN, condition: int = CONDITION, look: int = LOOK) -> Shapes:
    """The keys of v1's encoder."""
    shapes = mapping("body", condition, hidden, STATES * context)
    for number in range(STATES):
        shapes |= mapping(f"mapping_{number}", look, look, context)
        shapes |= mapping(f"mapping_patch_{number}", look, look, context)
    return shapes


def _layers(widths: Sequence[int], context: int) -> Shapes:
    return {
        f"id_adapter_attn_layers.{2 * index + 1}.id_to_{part}.weight": (width, context)
        for index, width in enumerate(widths)
        for part in "kv"
    }


def pulid_v1(widths: Sequence[int], context: int, encoder: Shapes | None = None) -> Shapes:
    """The keys of `pulid_v1.bin`."""
    encoder = encoder or id_encoder(context)
    return {f"id_adapter.{key}": shape for key, shape in encoder.items()} | _layers(widths, context)


def pulid_v1_1(widths: Sequence[int], context: int, former: Shapes | None = None) -> Shapes:
    """The keys of `pulid_v1.1.safetensors`."""
    former = former or id_former(context)
    return {f"id_adapter.{key}": shape for key, shape in former.items()} | _layers(widths, context)


def stated_encoder(weights: dict[str, Tensor], features: Sequence[Tensor]) -> Tensor:
    """The ten tokens (B, 10, C) of v1: five of the identity, then one for each state, its class token and its patches' mean."""
    part = part_of(weights, "id_adapter.")
    condition, *states = (one.double() for one in features)
    identity = stated_mapping(part, "body", condition)
    tokens = [identity.reshape(len(condition), STATES, -1)]
    for number, state in enumerate(states):
        seen = [stated_mapping(part, f"mapping_patch_{number}", state[:, place]) for place in range(1, state.shape[1])]
        whole = stated_mapping(part, f"mapping_{number}", state[:, 0])
        tokens.append((whole + sum(seen) / len(seen)).unsqueeze(1))
    return torch.cat(tokens, 1)


def stated_former(weights: dict[str, Tensor], images: Sequence[Sequence[Tensor]]) -> Tensor:
    """The tokens (B, N, C) of v1.1 of one image, or of several, whose identities and states follow one another."""
    if len(images) == 1:
        return stated_former_of(weights, "id_adapter.", tuple(images[0]))
    part = part_of(weights, "id_adapter.")
    width = part["latents"].shape[-1]
    identity = torch.cat(
        [stated_mapping(part, "id_embedding_mapping", one[0].double()).unflatten(-1, (-1, width)) for one in images], 1
    )
    states = [torch.cat([one[1 + number] for one in images], 1) for number in range(STATES)]
    return stated_former_of(weights, "id_adapter.", (images[0][0], *states), identity)


class Stated(NamedTuple):
    """How an application of PuLID acts: its weight, so many zero tokens, and the projection's name."""

    weight: float
    zeros: int
    projection: str


def stated_addition(query: Tensor, text: Tensor, key: Tensor, value: Tensor, heads: int, how: Stated) -> Tensor:
    """What is added to the text's output (B, L, D), with key and value (B, N, D) of the image tokens; all in float64.

    The zero tokens are there as keys and values, the sums run over L.
    """
    empty = key.new_zeros(key.shape[0], how.zeros, key.shape[2])
    key, value = torch.cat((key, empty), 1).double(), torch.cat((value, empty), 1).double()
    query, text = query.double(), text.double()
    rows, keys, values = (one.unflatten(-1, (heads, -1)).transpose(1, 2) for one in (query, key, value))
    scores = rows @ keys.mT
    image = ((scores / math.sqrt(rows.shape[-1])).softmax(-1) @ values).transpose(1, 2).flatten(2)
    spared = WAYS[how.projection]
    if spared is None:
        return how.weight * image
    share = scores.softmax(-1).mean(1)[:, :, :5].sum(-1, keepdim=True)
    along = (text * image).sum(1, keepdim=True) / (text * text).sum(1, keepdim=True) * text
    return how.weight * (image + (spared * share - 1) * along)
