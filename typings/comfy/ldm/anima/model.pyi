from collections.abc import Sequence

from torch import nn

class Anima(nn.Module):
    blocks: Sequence[nn.Module]
    model_channels: int
