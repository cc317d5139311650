"""The text of the demo world: five slots (shape, two colours, two textures), each said or left open, one token each."""

import logging
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from .shapes import SHAPE_NAMES
from .textures import TEXTURE_NAMES
from .world import COLOURS, Scene

logger = logging.getLogger(__name__)

CONTEXT_WIDTH = 128
SLOTS = 5
OPEN = -1


@dataclass(frozen=True)
class Description:
    """What a text says about B images; a row that says nothing holds OPEN (or a false in `*_said`)."""

    shape: Tensor  # (B) index or OPEN
    object_colour: Tensor  # (B, 3)
    object_colour_said: Tensor  # (B) bool
    background_colour: Tensor  # (B, 3)
    background_colour_said: Tensor  # (B) bool
    object_texture: Tensor  # (B) index or OPEN
    background_texture: Tensor  # (B) index or OPEN

    @staticmethod
    def of(scene: Scene, said: Tensor) -> "Description":
        """Describes scenes; `said` (B, 5) tells which slots are filled, in the order of the tokens."""
        left_open = torch.full_like(scene.shape, OPEN)
        return Description(
            torch.where(said[:, 0], scene.shape, left_open),
            scene.object_colour,
            said[:, 1],
            scene.background_colour,
            said[:, 2],
            torch.where(said[:, 3], scene.object_texture, left_open),
            torch.where(said[:, 4], scene.background_texture, left_open),
        )


def colour_features(colour: Tensor) -> Tensor:
    """Colours (B, 3) as smooth features (B, 15)."""
    waves = torch.cat([torch.pi * colour, 2 * torch.pi * colour], dim=-1)
    return torch.cat([2 * colour - 1, waves.sin(), waves.cos()], dim=-1)


class WordEncoder(nn.Module):
    """Turns a description into five context tokens: (B, 5, CONTEXT_WIDTH)."""

    def __init__(self, operations: Any, dtype: torch.dtype | None = None, device: Any = None) -> None:
        super().__init__()
        options = {"dtype": dtype, "device": device}
        self.shapes = operations.Embedding(len(SHAPE_NAMES) + 1, CONTEXT_WIDTH, **options)
        self.textures = operations.Embedding(len(TEXTURE_NAMES) + 1, CONTEXT_WIDTH, **options)
        self.colour_in = operations.Linear(15, CONTEXT_WIDTH, **options)
        self.colour_out = operations.Linear(CONTEXT_WIDTH, CONTEXT_WIDTH, **options)
        self.slots = operations.Embedding(SLOTS + 2, CONTEXT_WIDTH, **options)
        self.norm = operations.LayerNorm(CONTEXT_WIDTH, **options)

    def _colour(self, colour: Tensor, said: Tensor, open_slot: Tensor) -> Tensor:
        hidden = nn.functional.silu(self.colour_in(colour_features(colour).to(open_slot)))
        return torch.where(said[:, None], self.colour_out(hidden), open_slot)

    def forward(self, text: Description) -> Tensor:
        slots = self.slots(torch.arange(SLOTS + 2, device=text.shape.device))
        tokens = torch.stack(
            [
                self.shapes(text.shape + 1),
                self._colour(text.object_colour, text.object_colour_said, slots[SLOTS]),
                self._colour(text.background_colour, text.background_colour_said, slots[SLOTS + 1]),
                self.textures(text.object_texture + 1),
                self.textures(text.background_texture + 1),
            ],
            dim=1,
        )
        return self.norm(tokens + slots[:SLOTS])


_SPELLINGS = {"gray": "grey", "stripes": "striped", "dots": "dotted", "checks": "checked"}
_SILENT = {"a", "an", "the", "and", "with", "of", "in", "shape", "picture"}
COLOUR_NAMES: tuple[str, ...] = tuple(COLOURS)


@lru_cache(maxsize=256)
def _say_unknown(word: str) -> None:
    logger.warning("The demo world has no word for '%s': it is ignored.", word)


def read(text: str) -> tuple[int, ...]:
    """Reads a prompt into its five slots; words before "on" are about the object, words after it about the background.

    Word order is free otherwise, a second colour without "on" is the background's, and unknown words are ignored.
    """
    shape, unknown = OPEN, []
    colours: tuple[list[int], list[int]] = ([], [])
    textures: tuple[list[int], list[int]] = ([], [])
    place = 0
    for written in re.findall(r"[a-z]+", text.lower()):
        word = _SPELLINGS.get(written, written)
        if word in ("on", "background"):
            place = 1
        elif word in SHAPE_NAMES:
            shape = SHAPE_NAMES.index(word)
        elif word in COLOUR_NAMES:
            colours[place].append(COLOUR_NAMES.index(word))
        elif word in TEXTURE_NAMES:
            textures[place].append(TEXTURE_NAMES.index(word))
        elif word not in _SILENT:
            unknown.append(word)
    for word in unknown:
        _say_unknown(word)
    if not colours[1]:
        colours[1].extend(colours[0][1:2])
    first = [(indices or [OPEN])[0] for indices in (*colours, *textures)]
    return (shape, *first)


def describe(slots: Tensor) -> Description:
    """What the slots of `read` say: indices (B, 5), OPEN where nothing is said."""
    named = torch.tensor(list(COLOURS.values()), device=slots.device)
    shape, front, back, front_texture, back_texture = slots.unbind(1)
    return Description(shape, named[front], front != OPEN, named[back], back != OPEN, front_texture, back_texture)
