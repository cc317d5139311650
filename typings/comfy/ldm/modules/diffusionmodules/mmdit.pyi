from torch import nn

class MMDiT(nn.Module):
    joint_blocks: nn.ModuleList
