from collections.abc import Sequence

from torch import Tensor, nn

def clip_preprocess(
    image: Tensor, size: int = 224, mean: Sequence[float] = ..., std: Sequence[float] = ..., crop: bool = True
) -> Tensor: ...

class CLIPVisionEmbeddings(nn.Module):
    patch_embedding: nn.Conv2d
    position_embedding: nn.Embedding
