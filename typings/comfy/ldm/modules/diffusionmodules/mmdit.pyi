from collections.abc import Sequence
from typing import Any

from torch import nn

class JointBlock(nn.Module):
    x_block: Any
    context_block: Any

class MMDiT(nn.Module):
    hidden_size: int
    joint_blocks: Sequence[JointBlock]
