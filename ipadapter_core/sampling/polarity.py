"""Which side of guidance a pass belongs to: does it see the reference, or its negative?

ComfyUI labels the passes of a model call with indices into whatever list the guider handed over; the index is no polarity.
What tells is which of the guider's own named lists an entry came from, or the entry itself, where a guider of ours says it.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from ..adapter.key_value_bank import NEGATIVE, POSITIVE
from ..errors import SamplingError
from ..warn_once import warn_once

SIDE = "ipadapter_core_side"  # the key under which an entry itself says its side
NEGATIVE_ROLES = ("neg", "empty", "uncond")
POSITIVE_ROLES = ("pos", "cond", "middle")

Conds = Sequence[Mapping[str, Any]]


def announced(entries: Conds, side: int) -> list[dict[str, Any]]:
    """The entries with their side written in each, so that it stays known whoever copies, cuts or shares them out."""
    return [{**entry, SIDE: side} for entry in entries]


def announced_side(entries: Conds | None) -> int | None:
    """The side that the entries of a list say themselves; None where they say nothing, or not the same."""
    sides = {entry[SIDE] for entry in entries or () if SIDE in entry}
    return sides.pop() if len(sides) == 1 else None


def are_announced(conds: Sequence[Conds | None]) -> bool:
    """Whether every list of a call says its side itself."""
    given = [entries for entries in conds if entries]
    return bool(given) and all(announced_side(entries) is not None for entries in given)


class PolarityRule(Enum):
    """What tells the side of a pass: the role that it has for the guider, or, for old images, its index alone."""

    BY_ROLE = "role"
    BY_INDEX = "index"


class GuiderRoles:
    """The guider's conditionings by name, ready to say for any list of them which side it is on.

    `conds` maps a role ("positive", "negative", "middle", "empty_negative_prompt") to its list of entries with "uuid".
    """

    def __init__(self, conds: Mapping[str, Conds]):
        self._lists = [(entries, polarity_of_role(role)) for role, entries in conds.items() if entries]
        self._polarities: dict[Any, set[int]] = {}
        for entries, polarity in self._lists:
            for mark in (mark for entry in entries for mark in _marks(entry)):
                self._polarities.setdefault(mark, set()).add(polarity)

    def polarity(self, entries: Conds | None) -> int | None:
        """The side of a list of entries; None where nothing tells.

        The very list wins, then equal entries, then an entry that stands on one side only: entries that ComfyUI copies
        from the positive to the negative list, so that both cover the same area, keep their uuid. A guider that copies its
        entries keeps at least the very tensor of their text.
        """
        if not entries:
            return None
        for known, polarity in self._lists:
            if known is entries:
                return polarity
        uuids = [entry.get("uuid") for entry in entries]
        for known, polarity in self._lists:
            if uuids == [entry.get("uuid") for entry in known]:
                return polarity
        certain = {side for entry in entries for mark in _marks(entry) for side in self._sides(mark)}
        return certain.pop() if len(certain) == 1 else None

    def polarity_of_text(self, text: Tensor) -> int | None:
        """The side of the only prompts with this text (1, L, C), by its values; None where both sides have it or neither.

        Reads the device, so it is for callers that name no entries.
        """
        sides = {side for entries, side in self._lists if any(_says(entry, text) for entry in entries)}
        return sides.pop() if len(sides) == 1 else None

    def _sides(self, mark: Any) -> set[int]:
        sides = self._polarities.get(mark, set())
        return sides if len(sides) == 1 else set()


def _says(entry: Mapping[str, Any], text: Tensor) -> bool:
    known = entry.get("cross_attn")
    return isinstance(known, Tensor) and known.shape[1:] == text.shape[1:] and torch.equal(known[:1].to(text), text[:1])


def _marks(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """What an entry can be known by: ComfyUI's own number for it, and its text."""
    text = entry.get("cross_attn")
    return (entry.get("uuid"),) if text is None else (entry.get("uuid"), id(text))


def polarity_of_role(role: str) -> int:
    """Negative and empty prompts see the negative; every other prompt of a guider sees the reference."""
    if any(part in role for part in NEGATIVE_ROLES):
        return NEGATIVE
    if not any(part in role for part in POSITIVE_ROLES):
        warn_once(f"the guider calls one of its prompts {role!r}, which is taken as one that sees the reference")
    return POSITIVE


def polarity_of_index(index: int) -> int:
    """The documented rule where the guider cannot be seen: the first list is the positive one."""
    return POSITIVE if index == 0 else NEGATIVE


def old_polarity_of_index(index: int) -> int:
    """The rule of ComfyUI_IPAdapter_plus: only the second list of a guider sees the negative."""
    return NEGATIVE if index == 1 else POSITIVE


def polarities(roles: GuiderRoles | None, conds: Sequence[Conds | None]) -> tuple[int, ...]:
    """The side of each list of one call.

    A list that the guider itself does not know, beside those that it does or alone, is another node's additional prompt to
    guide away from (the old Perp-Neg node), so it sees the negative. Where no guider can be seen, the order of two lists is
    what tells. Both are said once in the log. Raises `SamplingError` where a guider knows none of several lists, and where
    more than two come from no guider at all.
    """
    known = [_side(roles, entries) for entries in conds]
    given = [index for index, entries in enumerate(conds) if entries]
    unknown = [index for index in given if known[index] is None]
    if roles is None and len(unknown) > 2:
        raise SamplingError(
            f"{len(unknown)} prompts go into one call outside of a guider, so that it cannot be known which of them are "
            "positive: take a guider or sampler node of ComfyUI, or take out Apply IP-Adapter"
        )
    if roles is None and unknown:
        warn_once("which prompt is the positive one cannot be seen here: the first of a call is taken as positive")
    elif unknown:
        if len(unknown) == len(given) > 1:
            raise SamplingError(
                f"{len(given)} prompts go into one call, and the guider knows none of them, so that it cannot be known which "
                "one is positive: take another guider node, or take out Apply IP-Adapter"
            )
        warn_once("another node asks for a prompt that the guider does not know, which is taken as a negative one")
        known = [NEGATIVE if index in unknown else side for index, side in enumerate(known)]
    return tuple(polarity_of_index(index) if side is None else side for index, side in enumerate(known))


def _side(roles: GuiderRoles | None, entries: Conds | None) -> int | None:
    side = announced_side(entries)
    return side if side is not None or roles is None else roles.polarity(entries)
