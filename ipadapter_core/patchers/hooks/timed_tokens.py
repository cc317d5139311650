"""Image tokens that change with the timestep: made once a step by an adapter that stays loaded, for all calls of that step.

    tokens = resampler(what was read of a reference, 1000 * noise level)

What a compiled block reads of them is tensors: it takes any number as it is for good.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...sampling.application import Application, LiveAdapter
from ...sampling.run import Run, Step

DEAD = 2.0**-14  # a gain: what is below has lost digits in half precision, where this is the smallest with all of them


class TimedTokens(NamedTuple):
    """Image tokens of one timestep, (R, S, N, C) for R references, and the time embedding (1 or 2 R, T).

    S is 2, negative first, or 1 where the negative of each reference is itself. `weights` (R, 1, 1, 1) are the references' own.
    """

    tokens: Tensor
    time: Tensor
    weights: Tensor


def tokens_of_step(
    applications: Sequence[Application], step: Step, run: Run, sigma: Tensor
) -> tuple[TimedTokens | None, ...]:
    """For each application its tokens, made at the step's first model call; None where it rests or has no use for them."""
    return tuple(
        _tokens(application, application.live, sigma, run, step)
        if weight.active and application.live is not None and application.live.references
        else None
        for application, weight in zip(applications, step.weights, strict=True)
    )


def gain_ratio(had: Tensor, wanted: Tensor, like: Tensor) -> Tensor:
    """What turns a norm's gain into another's, channel by channel; a channel that is dead, or as good as dead, stays so."""
    had, wanted = (gain.to(like.device, torch.float32) for gain in (had, wanted))
    return torch.where(had.abs() < DEAD, 0, wanted / had)


def times_each_head(tokens: Tensor, ratio: Tensor) -> Tensor:
    """Tokens (B, L, D) times a ratio for each channel of a head."""
    return (torch.unflatten(tokens, -1, (-1, ratio.shape[0])) * ratio.to(tokens.dtype)).flatten(-2)


def _tokens(application: Application, live: LiveAdapter, sigma: Tensor, run: Run, step: Step) -> TimedTokens:
    made_for, timed = run.timed.get(application, (None, None))
    if made_for is not step or timed is None:
        timed = _resample(live, sigma)
        run.timed[application] = (step, timed)
    return timed


def _resample(live: LiveAdapter, sigma: Tensor) -> TimedTokens:
    """Noise levels (B), all the same unless each row has a reference of its own."""
    one_sided = live.apart and all(one.negative is one.features for one in live.references)
    sides = 1 if one_sided else 2
    sigma = sigma.repeat_interleave(2) if live.by_row else sigma[:1]
    sources = [torch.cat((one.negative, one.features)[-sides:]).to(sigma.device) for one in live.references]
    if len({one.shape for one in sources}) == 1:
        sources = [torch.cat(sources)]  # in one go, where all references have as many features
    made = [live.patcher.model.image_proj(features, sigma.float() * 1000) for features in sources]
    tokens, time = torch.cat([tokens for tokens, _ in made]), made[0][1]
    weights = torch.tensor([one.weight for one in live.references], device=sigma.device).view(-1, 1, 1, 1)
    return TimedTokens(torch.unflatten(tokens, 0, (-1, sides)), time, weights)
