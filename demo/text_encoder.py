"""The demo's text as a ComfyUI CLIP: what the stock CLIPTextEncode node calls, over the world's few words."""

from typing import Any

import torch
from torch import Tensor, nn

import comfy.ops
import comfy.sd
from comfy.supported_models_base import ClipTarget

from .words import WordEncoder, describe, read

Tokens = dict[str, list[list[tuple[int, float]]]]
KEY = "demo_world"


class DemoWorldTokenizer:
    """Five tokens for every prompt, one for each slot; -1 where the prompt says nothing."""

    def __init__(self, embedding_directory: str | None = None, tokenizer_data: dict[str, Any] | None = None) -> None:
        pass

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **_: Any) -> Tokens:
        """The prompt's slots in the form that ComfyUI passes on."""
        return {KEY: [[(slot, 1.0) for slot in read(text)]]}

    def untokenize(self, pairs: list[tuple[int, float]]) -> list[tuple[tuple[int, float], str]]:
        """Each token with its number as text."""
        return [(pair, str(pair[0])) for pair in pairs]

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing is learned here."""
        return {}


class DemoWorldText(nn.Module):
    """The word encoder behind the methods that comfy.sd.CLIP calls on its text model."""

    def __init__(self, device: Any = None, dtype: Any = None, model_options: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.words = WordEncoder(comfy.ops.manual_cast, torch.float32, device)
        self.dtypes = {torch.float32}

    def set_clip_options(self, options: dict[str, Any]) -> None:
        """There is one layer and one projection, so there is nothing to choose."""

    def reset_clip_options(self) -> None:
        """There is nothing to reset."""

    def encode_token_weights(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Slots -> context (1, 5, D) and its mean (1, D)."""
        slots = torch.tensor([[slot for slot, _ in row] for row in tokens[KEY]], device=self.words.norm.weight.device)
        context = self.words(describe(slots)).float()
        return context, context.mean(dim=1)

    def load_sd(self, weights: dict[str, Tensor]) -> Any:
        """Fills the word encoder."""
        return self.words.load_state_dict(weights, strict=False)


def new_word_encoder(weights: dict[str, Tensor]) -> WordEncoder:
    """The bare word encoder, for training what comes after it."""
    words = WordEncoder(comfy.ops.manual_cast, torch.float32)
    words.load_state_dict(weights)
    return words.requires_grad_(False)


def clip(weights: dict[str, Tensor]) -> comfy.sd.CLIP:
    """The text encoder as ComfyUI serves it."""
    target = ClipTarget(DemoWorldTokenizer, DemoWorldText)
    return comfy.sd.CLIP(target, state_dict=[weights])
