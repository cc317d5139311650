from typing import Any

from torch import Tensor

from .model_patcher import ModelPatcher

def sample(
    model: ModelPatcher,
    noise: Tensor,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    positive: list[Any],
    negative: list[Any],
    latent_image: Tensor,
    *,
    seed: int | None = None,
    disable_pbar: bool = False,
) -> Tensor: ...
