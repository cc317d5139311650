"""A weight for each cross-attention layer, and which side of guidance it acts on."""

from dataclasses import dataclass
from typing import NamedTuple

from ..errors import WeightError
from .layer_presets import BLOCKS, RULES, TABLES, TRANSFORMER_BLOCKS, BlockRef, LayerPreset, Role, Share

EXECUTION = ("input", "middle", "output", "double", "single", "block")  # the parts of a model as they run


class LayerWeight(NamedTuple):
    """What multiplies the reference's part of a layer in the positive and in the negative pass.

    With `negative_sees_reference` the negative pass attends to the reference itself instead of to its negative: what the
    reference shows is then guided away from.
    """

    positive: float = 1.0
    negative: float = 1.0
    negative_sees_reference: bool = False

    @property
    def silent(self) -> bool:
        """Whether the layer adds nothing at all."""
        return self.positive == 0 and self.negative == 0


class Override(NamedTuple):
    """One entry of a user's text: a block by its name, a whole part ("input"), or an index in running order."""

    word: str
    weight: float

    @property
    def by_index(self) -> bool:
        """Whether the word is an index."""
        return self.word.isdecimal()

    def names(self, place: BlockRef) -> bool:
        """Whether this entry is about a block."""
        return self.word in (place.name, place.part, str(place.index))


@dataclass(frozen=True)
class LayerWeights:
    """A preset with its two weights, and single blocks set by hand; what the LAYER_WEIGHTS socket carries.

    Overrides by name change single blocks of the preset. Overrides by index replace it, and blocks without an index are
    silent, as in the `layer_weights` of ComfyUI_IPAdapter_plus. Either way a block keeps its side of guidance.
    """

    preset: LayerPreset = LayerPreset.LINEAR
    weight: float = 1.0
    second_weight: float = 1.0
    overrides: tuple[Override, ...] = ()

    def resolve(self, blocks: tuple[tuple[str, int, int], ...]) -> tuple[LayerWeight, ...]:
        """The weight of each cross-attention layer, `blocks` being (part, number, depth) of each.

        Raises `WeightError` where the preset's table does not know the model's blocks, or a word of the text names none.
        """
        weights = dict(self.by_place(places_of(blocks)))
        by_block = {(place.part, place.number): weight for place, weight in weights.items()}
        return tuple(by_block[part, number] for part, number, _ in blocks)

    def by_place(self, places: tuple[BlockRef, ...]) -> list[tuple[BlockRef, LayerWeight]]:
        """The weight of each block in running order."""
        for override in self.overrides:
            if not any(override.names(place) for place in places):
                raise WeightError(
                    f"layer weights: found '{override.word}', the model has the blocks {_listed(places)} (0 to "
                    f"{len(places) - 1}): change the text of Layer Weights"
                )
        shares = self._shares(places)
        return [(place, self._weight(place, share)) for place, share in zip(places, shares, strict=True)]

    def _shares(self, places: tuple[BlockRef, ...]) -> list[Share]:
        if self.preset in RULES:
            return self._by_rule(places)
        names = tuple(place.name for place in places)
        known = [structure for structure, listed in BLOCKS.items() if listed == names]
        if not known:
            raise WeightError(
                f"layer weights: '{self.preset.value}' is known for the blocks of {' and '.join(BLOCKS)}, the model has "
                f"{_listed(places)}: choose linear, an ease or a weak preset in Layer Weights and name blocks in its text"
            )
        table = TABLES[self.preset]
        role_of = {name: role for role, listed in table.roles[known[0]].items() for name in listed}
        return [table.shares.get(role_of.get(name, Role.REST), Share()) for name in names]

    def _by_rule(self, places: tuple[BlockRef, ...]) -> list[Share]:
        shares = [Share(RULES[self.preset](place)) for place in places]
        if not any(share.first for share in shares):
            raise WeightError(
                f"layer weights: '{self.preset.value}' leaves none of the model's blocks, {_listed(places)}: choose another "
                "preset in Layer Weights"
            )
        return shares

    def _weight(self, place: BlockRef, share: Share) -> LayerWeight:
        by_hand = [override.weight for override in self.overrides if override.names(place)]
        if by_hand:
            value = by_hand[-1]
        elif any(override.by_index for override in self.overrides):
            value = 0.0
        else:
            value = share.first * self.weight + share.second * self.second_weight
        return LayerWeight(0.0, value, True) if share.injected else LayerWeight(value, value)


def places_of(blocks: tuple[tuple[str, int, int], ...]) -> tuple[BlockRef, ...]:
    """The blocks of a model in the order in which they run, whatever the order and depth of its layers."""
    found = sorted(
        {(part, number) for part, number, _ in blocks}, key=lambda block: (EXECUTION.index(block[0]), block[1])
    )
    return tuple(BlockRef(part, number, index, len(found)) for index, (part, number) in enumerate(found))


def known_places(structure: str) -> tuple[BlockRef, ...]:
    """The blocks of a model that we know, by its name in `BLOCKS` or `TRANSFORMER_BLOCKS`."""
    words = [name.split() for name in (BLOCKS | TRANSFORMER_BLOCKS)[structure]]
    return tuple(
        BlockRef(part, int(number[0]) if number else 0, index, len(words))
        for index, (part, *number) in enumerate(words)
    )


def _listed(places: tuple[BlockRef, ...]) -> str:
    return ", ".join(place.name for place in places)
