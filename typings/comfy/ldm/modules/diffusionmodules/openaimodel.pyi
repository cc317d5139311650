from collections.abc import Iterable, Sequence

from torch import nn

class ResBlock(nn.Module): ...

class UNetModel(nn.Module):
    input_blocks: Sequence[Iterable[nn.Module]]
    output_blocks: Sequence[Iterable[nn.Module]]
    middle_block: Sequence[nn.Module] | None
