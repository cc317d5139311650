from collections.abc import Sequence
from typing import Any

from torch import nn

class Anima(nn.Module):
    blocks: Sequence[Any]
    model_channels: int
