from typing import Any

from typing_extensions import Self

from .model_patcher import ModelPatcher

class CLIP:
    cond_stage_model: Any
    patcher: ModelPatcher
    def clone(self) -> Self: ...
    def tokenize(self, text: str, return_word_ids: bool = False, **kwargs: Any) -> dict[str, Any]: ...
    def encode_from_tokens(
        self, tokens: dict[str, Any], return_pooled: bool = False, return_dict: bool = False
    ) -> Any: ...
    def encode_from_tokens_scheduled(self, tokens: dict[str, Any]) -> list[Any]: ...
