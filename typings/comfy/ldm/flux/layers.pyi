from typing import Any

from torch import Tensor

def attention(
    q: Tensor, k: Tensor, v: Tensor, pe: Tensor | None, mask: Tensor | None = None, **kwargs: Any
) -> Tensor: ...
