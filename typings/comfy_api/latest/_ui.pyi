from typing import Any

from torch import Tensor

from ._io import ComfyNode

class UIOutput:
    def as_dict(self) -> dict[str, Any]: ...

class PreviewImage(UIOutput):
    def __init__(self, image: Tensor, animated: bool = False, cls: type[ComfyNode] | None = None) -> None: ...

class PreviewText(UIOutput):
    def __init__(self, value: str) -> None: ...

class ImageSaveHelper:
    @staticmethod
    def get_save_images_ui(images: Tensor, filename_prefix: str, cls: Any, compress_level: int = 4) -> UIOutput: ...
