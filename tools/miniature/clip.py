"""ComfyUI's own text model in miniature, under the interface of its CLIP object."""

from types import SimpleNamespace

import torch
from pack.tools.miniature.faces import TEXT
from pack.tools.miniature.models import randomise

from comfy.sd1_clip import SD1Tokenizer, SDClipModel


class TinyClip:
    """ComfyUI's own text model under the interface of its CLIP object; words are letters."""

    def __init__(self, layer, width=TEXT, extra=0):
        config = {"hidden_size": width, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 96,
                  "hidden_act": "quick_gelu", "max_position_embeddings": 77, "vocab_size": 49408, "num_positions": 77,
                  "eos_token_id": 49407}  # fmt: skip
        special = {"start": 49406, "end": 49407, "pad": 49407}
        self.text = SDClipModel(device="cpu", dtype=torch.float32, textmodel_json_config=config, special_tokens=special,
                                layer=layer, layer_idx=-2 if layer == "hidden" else None,
                                layer_norm_hidden_state=layer == "last")  # fmt: skip
        randomise(self.text.transformer, seed=5)
        self.extra, self.layer = extra, None

    def clone(self):
        return self

    def clip_layer(self, layer):
        self.layer = layer

    def tokenize(self, text):
        ids = [49406, *[ord(letter) for letter in text], 49407]
        return ids + [49407] * (77 - len(ids))

    def encode_from_tokens(self, tokens):
        self.text.set_clip_options({"layer": self.layer})
        states = self.text([tokens])[0]
        return torch.cat((states, torch.full((1, states.shape[1], self.extra), 9.0)), dim=-1)


def clip_of(width=96):
    """CLIP's own tokenizer, and features that are numbered instead of encoded."""
    tokenizer = SD1Tokenizer()

    def encode(tokens):
        count = sum(len(section) for section in tokens["l"])
        return [
            [torch.arange(count, dtype=torch.float32).view(1, -1, 1).expand(1, count, width), {"pooled_output": None}]
        ]

    return SimpleNamespace(tokenize=tokenizer.tokenize_with_weights, encode_from_tokens_scheduled=encode)
