from torch import nn

class Flux(nn.Module):
    double_blocks: nn.ModuleList
    single_blocks: nn.ModuleList
    hidden_size: int
    num_heads: int
