from torch import nn

class Chroma(nn.Module):
    double_blocks: nn.ModuleList
    single_blocks: nn.ModuleList
