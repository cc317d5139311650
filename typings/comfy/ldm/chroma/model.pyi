from collections.abc import Sequence

from torch import nn

class Chroma(nn.Module):
    double_blocks: Sequence[nn.Module]
    single_blocks: Sequence[nn.Module]
    hidden_size: int
    num_heads: int
