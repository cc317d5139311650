from collections.abc import Sequence
from typing import Any

from torch import nn

class WanI2VCrossAttention(nn.Module): ...

class WanModel(nn.Module):
    blocks: Sequence[Any]
    dim: int
