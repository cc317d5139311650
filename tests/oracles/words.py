"""Words as masks, stated naively in float64 inside ComfyUI's own hook, and texts whose tokens are known."""

import math

import torch
from pack.ipadapter_core.patchers.families.unet import layer_map
from pack.ipadapter_core.prompt.image_prompt import Words
from pack.ipadapter_core.prompt.words import with_tokens
from pack.tests.oracles.recorded_passes import text

IDS = (49406, 320, 2368, 537, 320, 1929, 49407)  # of "a cat and a dog", between the tokens that begin and end a text
CAT, DOG, ALL = Words("cat", ((2368,),)), Words("a dog", ((320, 1929),)), Words("everything", (IDS,))
PLACES = {CAT: (2,), DOG: (4, 5), ALL: tuple(range(7))}


def told(seed=0, ids=IDS):
    """A text of seven features that says its tokens."""
    return with_tokens(text(seed), ids)


def softmax_rows(rows, keys):
    """softmax(q k / sqrt(d)) (L, N) of one head, in float64."""
    scores = torch.exp(rows @ keys.T / math.sqrt(rows.shape[-1]))
    return scores / scores.sum(-1, keepdim=True)


def attend(rows, keys, values, heads):
    parts = zip(rows.chunk(heads, -1), keys.chunk(heads, -1), values.chunk(heads, -1), strict=True)
    return torch.cat([softmax_rows(q, k) @ v for q, k, v in parts], -1)


def word_map(rows, keys, places, heads):
    """The mean over heads and words of the attention to them, over its maximum."""
    shares = [
        softmax_rows(q, k)[:, list(places)] for q, k in zip(rows.chunk(heads, -1), keys.chunk(heads, -1), strict=True)
    ]
    found = torch.stack(shares).mean(dim=(0, 2))
    return found / found.max()


def stated(model, adapter, given, weight=1.0):
    """A clone that adds, at every layer, weight * map * attention for `given` pairs of images and words."""
    patched = model.clone()
    banks = [(adapter.bank(image), words) for image, words in given]
    for index, layer in enumerate(layer_map(model.model.diffusion_model)):

        def replace(query, key, value, options, index=index):
            rows, keys, values = (one.double() for one in (query, key, value))
            heads, images = options["n_heads"], len(query) // len(options["cond_or_uncond"])
            out = []
            for row in range(len(query)):
                positive = options["cond_or_uncond"][row // images] == 0
                total = attend(rows[row], keys[row], values[row], heads)
                for bank, words in banks:
                    own = attend(
                        rows[row], *(part[index][int(positive)].double() for part in (bank.keys, bank.values)), heads
                    )
                    acts = positive and words is not None
                    map_ = word_map(rows[row], keys[row], PLACES[words], heads)[:, None] if acts else 1.0
                    total = total + weight * map_ * own
                out.append(total)
            return torch.stack(out).to(query.dtype)

        patched.set_model_attn2_replace(replace, *layer.block)
    return patched
