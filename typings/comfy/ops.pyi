from typing import ClassVar

from torch import Tensor, nn

class manual_cast:
    Conv2d: ClassVar[type[nn.Conv2d]]
    LayerNorm: ClassVar[type[nn.LayerNorm]]
    Linear: ClassVar[type[nn.Linear]]

def cast_to_input(weight: Tensor, input: Tensor, non_blocking: bool = False, copy: bool = True) -> Tensor: ...
