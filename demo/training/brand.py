"""An adapter tuned on the images of one brand, the way *Train IP-Adapter* goes: from images and captions."""

from pathlib import Path

import torch

from ...ipadapter_core.adapter.managed import ManagedAdapter
from ...ipadapter_core.training.base_model import BaseSettings
from ...ipadapter_core.training.conditioning import Entry
from ...ipadapter_core.training.objective import Weighting
from ...ipadapter_core.training.precision import Precision
from ...ipadapter_core.training.schedule import Schedule
from ...ipadapter_core.training.train import TrainingSettings
from ...ipadapter_core.training.user_training import Result, UserChoices, UserData, train_for_user
from ..pictures import Request, draw
from ..shapes import SHAPE_NAMES
from ..words import describe, read
from .adapter import Frozen

BRAND = Request(None, "orange", "purple", "dotted", "checked")
IMAGES = 24
BATCH = 8


def train_brand_adapter(frozen: Frozen, begun: ManagedAdapter, schedule: Schedule, folder: Path, seed: int) -> Result:
    """A finished adapter tuned on 24 images, their captions naming the shape alone."""
    shapes = [SHAPE_NAMES[number % len(SHAPE_NAMES)] for number in range(IMAGES)]
    images = [draw(BRAND._replace(shape=shape), 100 + number).picture for number, shape in enumerate(shapes)]
    captions = [_caption(frozen, f"a {shape}") for shape in shapes]
    data = UserData([image.movedim(-1, 1) * 2 - 1 for image in images], captions, images, None, _caption(frozen, ""))
    base = BaseSettings(Precision.BF16, checkpointing=False)
    choices = UserChoices(TrainingSettings(schedule, base, Weighting.DENOISED, seed), BATCH)
    return train_for_user(
        frozen.model,
        begun,
        frozen.encoder,
        data,
        choices,
        lambda identity: folder / f"brand_{identity[:12]}.safetensors",
    )


def _caption(frozen: Frozen, text: str) -> Entry:
    return frozen.words(describe(torch.tensor([read(text)]))), {}
