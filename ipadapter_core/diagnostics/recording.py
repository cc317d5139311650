"""What a sampling run does, noted while it happens, for those who ask: where references are attended to, and which steps run.

A layer's attention goes over the image tokens of one application. Of a reference with tokens S among all N:

    share(x)        = mask(x) * mean over heads of sum_{j in S} softmax(q(x) K^T / sqrt(d))_j, in its place of those there
    contribution(x) = weight of the step * mask(x) * |sum_{j in S} a_j(x) v_j| / mean over x of the same, for all references

The second is attention weighed by what it brings along, after Kobayashi et al. 2020, "Attention is Not Only a Weight:
Analyzing Transformers with Vector Norms"; a single reference has all of the attention everywhere, so only the second one
tells where it acts. What is noted is the positive pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from ..adapter.key_value_bank import POSITIVE
from ..attention.heads import split_heads
from ..attention.orthogonal_attention import softmax_beside
from ..masks.token_grid import Area, Size
from ..sampling.application import Application
from ..sampling.batch_layout import BatchLayout
from ..sampling.layer_call import LayerCall, sight
from ..sampling.prepared import PreparedApplication, TokenMask, token_mask
from ..sampling.text_attention import word_mask
from .folded_measures import folded_measures

AT_ONCE = 2**24  # scores that are held at a time


class Measure(str, Enum):
    """What a map shows of a reference."""

    CONTRIBUTION = "contribution"
    SHARE = "attention share"


MEASURES = tuple(Measure)  # the order in which they are noted


class MapKey(NamedTuple):
    """Where a sum belongs: application, block of the model, token grid, and the part of the canvas and batch it is about.

    Each frame but a video's first stands for `stride` frames of it.
    """

    application: Application
    block: tuple[str, int]
    grid: Size
    latent: Size
    area: Area
    frames: tuple[int, ...]
    stride: int = 1

    def shown(self, frame: int) -> range:
        """The images that one of the frames stands for: of a video's four it is the second."""
        return (
            range(frame, frame + 1)
            if frame == 0
            else range(frame - (self.stride - 1) // 2, frame + self.stride // 2 + 1)
        )


class MapSum(NamedTuple):
    """Maps (measures, references, frames, tokens) added up over `calls` of layers."""

    total: Tensor
    calls: int


class RunNotes(NamedTuple):
    """What a run began with: its noise levels, and the applications with the steps in which each is active."""

    sigmas: tuple[float, ...] = ()
    applications: tuple[Application, ...] = ()
    active: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, eq=False)
class Recording:
    """The notes of the last run of a model; a patch, so that ComfyUI cleans it up. Without `maps` layers are not looked at."""

    maps: bool = True
    sums: dict[MapKey, MapSum] = field(default_factory=dict[MapKey, MapSum], init=False, repr=False)
    runs: list[RunNotes] = field(default_factory=list[RunNotes], init=False, repr=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Recording":
        return self

    def to(self, _device_or_dtype: Any) -> "Recording":
        """ComfyUI moves patches with the model; there is nothing to move."""
        return self

    def cleanup(self) -> None:
        """Takes the sums off the compute device when a run ends."""
        for spot, (total, calls) in self.sums.items():
            self.sums[spot] = MapSum(total.cpu(), calls)

    @property
    def run(self) -> RunNotes:
        """What is known of the last run; empty before the first."""
        return self.runs[-1] if self.runs else RunNotes()

    def begin(self, notes: RunNotes) -> None:
        """Forgets the run before."""
        self.sums.clear()
        self.runs[:] = [notes]

    def note(self, index: int, call: LayerCall, prepared: PreparedApplication, pair: tuple[Tensor, Tensor]) -> None:
        """Adds one call of a layer: `pair` are the keys and values (C, N, D) that the query meets, the image's the last."""
        application, layout, grid = prepared.application, call.layout, call.grid
        assert layout is not None and grid is not None
        query = call.query if call.query.ndim == 3 else call.query.transpose(1, 2).flatten(2)
        call = call._replace(query=query)
        where = token_mask(application, prepared.layout, grid, query) if application.masked else None
        mask = None if where is None else where.factor
        if application.words and call.text is not None:
            words = word_mask(application, prepared.layout, query, call.text, call.heads)
            mask = words if mask is None else mask * words
        with torch.no_grad():
            for number, polarity in enumerate(layout.polarities):
                if polarity != POSITIVE:
                    continue
                own = layout.rows_of(number)
                keys = tuple(_of_pass(one, number, own, layout) for one in pair)
                maps = _maps(application, index, call, own, keys, _bias(application, index, where, own))
                if mask is not None:
                    maps = maps * _rows(mask, own).squeeze(-1).to(maps)
                if prepared.weight is not None:
                    maps[0] *= _rows(prepared.weight, own).squeeze(-1).to(maps)
                block = application.blocks[index][:2]
                key = MapKey(
                    application, block, grid, layout.latent, layout.areas[number], layout.frames[own], layout.stride
                )
                total, calls = self.sums.get(key, (0, 0))
                self.sums[key] = MapSum(total + maps, calls + 1)


def _rows(tensor: Tensor, own: slice) -> Tensor:
    return tensor if tensor.shape[0] == 1 else tensor[own]


def _of_pass(tensor: Tensor, number: int, own: slice, layout: BatchLayout) -> Tensor:
    """The keys or values of one pass: (1, N, D), or (F, N, D) where its images have their own."""
    if tensor.shape[0] == layout.batch:
        return tensor[own]
    return tensor if tensor.shape[0] == 1 else tensor[number : number + 1]


def _bias(application: Application, index: int, where: TokenMask | None, own: slice) -> Tensor | None:
    """What is added to the scores of each image token in the rows of a pass, where references have places of their own."""
    seen = sight(application, index, None if where is None or where.seen is None else _rows(where.seen, own))
    return None if seen is None else seen.bias()


def _maps(
    application: Application,
    index: int,
    call: LayerCall,
    own: slice,
    pair: tuple[Tensor, ...],
    bias: Tensor | None,
) -> Tensor:
    """(measures, references, frames, tokens) of one pass, before mask and weight."""
    query = call.query[own, call.before : call.query.shape[1] - call.after]
    key, value = pair
    sizes = _token_counts(application, index, key.shape[1], call.query.shape[1])
    if application.folding is None:
        zeros = application.orthogonality.zeros if application.orthogonality else 0
        found = measures(query, key, value, call.heads, sizes, zeros, bias)
    else:
        found = folded_measures(query, key, value, call.heads, sizes)
    found[0] /= found[0].sum(dim=0, keepdim=True).mean(dim=-1, keepdim=True).clamp(min=torch.finfo(found.dtype).tiny)
    assert call.layout is not None
    return _by_reference(found, application, call.layout.frames[own])


def _token_counts(application: Application, index: int, keys: int, queries: int) -> list[int]:
    """How many of the last keys belong to each reference; beside an image's own keys all references have as many."""
    if application.banks:
        counts = [one.bank.keys[index].shape[1] for one in application.banks]
    else:
        assert application.live is not None
        together = 1 if application.per_frame else len(application.live.references)
        own = 0 if application.live.apart else queries
        counts = [(keys - own) // together] * together
    return counts[:1] if application.per_frame else counts


def measures(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    heads: int,
    sizes: Sequence[int],
    zeros: int = 0,
    bias: Tensor | None = None,
) -> Tensor:
    """Norm of what is brought and share of the attention, (2, R, F, L), for the last R groups of keys.

    query (F, L, D), key and value (F or 1, N, D), `sizes` the tokens of each group; `zeros` stand beside the keys, the `bias`
    (F or 1, L, N) is added to the scores.
    """
    dtype = torch.promote_types(query.dtype, torch.float32)
    keys, values = (split_heads(one.to(dtype), heads) for one in (key, value))
    step = max(1, AT_ONCE // (query.shape[0] * heads * keys.shape[2]))
    blocks = torch.split(query, step, dim=1)
    biases = [None] * len(blocks) if bias is None else torch.split(bias.to(dtype).unsqueeze(1), step, dim=2)
    parts = [
        _attended(split_heads(rows.to(dtype), heads), keys, values, sizes, zeros, own)
        for rows, own in zip(blocks, biases, strict=True)
    ]
    return torch.cat(parts, dim=-1)


def _attended(
    query: Tensor, keys: Tensor, values: Tensor, sizes: Sequence[int], zeros: int, bias: Tensor | None
) -> Tensor:
    scores = query @ keys.mT * query.shape[-1] ** -0.5
    weights = softmax_beside(scores if bias is None else scores + bias, zeros)[..., -sum(sizes) :]
    groups = zip(
        torch.split(weights, list(sizes), dim=-1),
        torch.split(values[:, :, -sum(sizes) :], list(sizes), dim=2),
        strict=True,
    )
    both = [(_lengths((part @ value).transpose(1, 2).flatten(2)), part.sum(-1).mean(1)) for part, value in groups]
    return torch.stack([torch.stack(measure) for measure in zip(*both, strict=True)])


def _lengths(vectors: Tensor) -> Tensor:
    return cast(Any, vectors).norm(dim=-1)  # which has no types in PyTorch


def _by_reference(found: Tensor, application: Application, frames: tuple[int, ...]) -> Tensor:
    """One reference for each image, (2, 1, F, L), put in its reference's row."""
    if not application.per_frame:
        return found
    count = application.references
    rows = found.new_zeros(found.shape[0], count, *found.shape[2:])
    for place, frame in enumerate(frames):
        rows[:, min(frame, count - 1), place] = found[:, 0, place]
    return rows
