from torch import nn

class UNetModel(nn.Module):
    input_blocks: nn.ModuleList
    output_blocks: nn.ModuleList
    middle_block: nn.Sequential | None
