from collections.abc import Sequence

from torch import Tensor

def clip_preprocess(
    image: Tensor, size: int = 224, mean: Sequence[float] = ..., std: Sequence[float] = ..., crop: bool = True
) -> Tensor: ...
