from torch import nn

class Anima(nn.Module):
    blocks: nn.ModuleList
