"""Workflows that provoke each error about what other programs put on the sockets of old nodes."""

from types import SimpleNamespace

import torch
from pack.tools.miniature.executing import Step
from pack.tools.miniature.files import Workshop

VALUES = {"weight": 1.0, "weight_type": "linear", "start_at": 0.0, "end_at": 1.0, "embeds_scaling": "V only"}


def old_embeds_from_elsewhere(shop: Workshop) -> Step:
    """A node that gives something else under the same type."""
    return _embeds(shop, Step("a node with an EMBEDS output", make=lambda: SimpleNamespace()))


def old_embeds_of_another_adapter(shop: Workshop) -> Step:
    """Hidden states of a plus adapter, into a base adapter."""
    return _embeds(shop, Step("IPAdapter Encoder", note="with a plus adapter", make=lambda: torch.zeros(1, 17, 1280)))


def a_strategy_from_elsewhere(shop: Workshop) -> Step:
    """Weights in the place of the strategy."""
    return Step(
        "IPAdapterWeightsFromStrategy",
        {"weights_strategy": Step("IPAdapter Weights", note="its first output", make=lambda: [1.0, 0.0])},
    )


def an_old_encoder_without_anything(shop: Workshop) -> Step:
    """A prompt in which its links are gone."""
    return Step("IPAdapterEncoder")


def embeds_without_their_negative(shop: Workshop) -> Step:
    """Embeds of today's files on a node that wants both sides in one."""
    embeds = Step("IPAdapterLoadEmbeds", note="one side", make=lambda: torch.zeros(1, 1024))
    given = {"model": shop.checkpoint(), "ipadapter": _loaded(shop), "embeds": embeds, "weight": 1.0}
    return Step("IPAdapterApplyEncoded", given | {"weight_type": "original", "start_at": 0.0, "end_at": 1.0})


def _embeds(shop: Workshop, embeds: Step) -> Step:
    given = {"model": shop.checkpoint(), "ipadapter": _loaded(shop), "pos_embed": embeds}
    return Step("IPAdapterEmbeds", given | VALUES)


def _loaded(shop: Workshop) -> Step:
    from pack.ipadapter_core.compat.pipeline import Pipeline

    adapter = shop.adapter()
    return Step("IPAdapter Model Loader", make=lambda: Pipeline(adapter.value()).as_dict())


OLD_GRAPHS = (
    old_embeds_from_elsewhere, old_embeds_of_another_adapter, a_strategy_from_elsewhere, an_old_encoder_without_anything,
    embeds_without_their_negative,
)  # fmt: skip
