from collections.abc import Sequence
from typing import Any

from torch import nn

class Flux(nn.Module):
    double_blocks: Sequence[Any]
    single_blocks: Sequence[Any]
    txt_in: nn.Linear
    hidden_size: int
    num_heads: int
