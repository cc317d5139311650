"""Key names that only the whole file explains: what trainers put around an adapter, and layers by their place in a UNet.

Layouts: tencent-ailab/IP-Adapter (62e4af9), tutorial_train*.py, whose checkpoints hold the UNet beside the adapter, behind
`module.` where training was distributed; accelerate, which writes a tensor that has two names under the UNet's only.
"""

import re
from collections import Counter
from collections.abc import Iterable

from .formats import NUMBER
from .layouts import canonical
from .lynx_formats import numbered_one_by_one

PROJECTOR, LAYERS, LORA = "image_proj.", "ip_adapter.", "lora."
WRAPPERS = ("state_dict.", "model_state_dict.", "model.", "module.", "ema_model.", "weights.", "params.")
FACE_LORA_KEY = re.compile(rf"ip_adapter\.({NUMBER})\.to_(q|k|v|out)_lora\.(down|up)\.weight")
ELSEWHERE = ("controlnet_adapter_modules.",)  # CSGO's second set of layers, for a ControlNet: not part of the adapter
BESIDE = (  # what trainers keep in the same file
    "optimizer.", "optimizer_states.", "optimizer_state_dict.", "lr_scheduler.", "lr_schedulers.", "scheduler.", "scaler.",
    "args.", "config.", "epoch", "global_step", "step", "loss", "random_states.", "unet.", "noise_scheduler.",
)  # fmt: skip
DIFFUSERS_KEY = re.compile(
    rf"(?:unet\.)?(down_blocks|up_blocks|mid_block)\.(?:({NUMBER})\.)?attentions\.({NUMBER})\."
    rf"transformer_blocks\.({NUMBER})\.attn([12])\.processor\."
    r"(to_[kv]_ip|to_(?:q|k|v|out)_lora\.(?:down|up))(?:\.0)?\.weight"
)
ORDER = {"down_blocks": 0, "up_blocks": 1, "mid_block": 2}


def canonical_names(keys: Iterable[str]) -> dict[str, str]:
    """The flat name of every key that belongs to an adapter; a key that nobody knows keeps its own.

    Names are found below whatever wraps them, and what lies beside the wrapper is left out.
    """
    inner = {key: _unwrapped(key) for key in keys}
    found = Counter(wrapper for wrapper, key in inner.values() if _is_adapters(key))
    wrapper = min(found, key=len) if found else ""
    names = {key: own for key, (around, own) in inner.items() if around == wrapper and not own.startswith(ELSEWHERE)}
    return _named(names)


def is_lora(name: str) -> bool:
    """Whether a canonical name is a weight of the LoRA that comes inside some files, not of the adapter's network."""
    return name.startswith(LORA) or FACE_LORA_KEY.fullmatch(name) is not None


def _unwrapped(key: str) -> tuple[str, str]:
    """What wraps a key, and the key without it."""
    own = key
    while wrapper := next((one for one in WRAPPERS if own.startswith(one)), None):
        own = own[len(wrapper) :]
    return key[: len(key) - len(own)], own


def _is_adapters(key: str) -> bool:
    return canonical(key).startswith((PROJECTOR, LAYERS)) or DIFFUSERS_KEY.fullmatch(key) is not None


def _named(names: dict[str, str]) -> dict[str, str]:
    """Canonical names for keys without their wrapper."""
    numbered = any(canonical(own).startswith(LAYERS) for own in names.values())
    places = {} if numbered else {key: match for key, own in names.items() if (match := DIFFUSERS_KEY.fullmatch(own))}
    ranks = {place: rank for rank, place in enumerate(sorted({_place(match) for match in places.values()}))}
    beside = {key for key, own in names.items() if key not in places and own.startswith(BESIDE)}
    named = {key: canonical(own) for key, own in names.items() if key not in beside}
    for key, match in places.items():
        number = 2 * ranks[_place(match)] + int(match[5]) - 1
        named[key] = f"{LAYERS}{number}.{match[6]}.weight"
    return numbered_one_by_one(named)


def _place(match: re.Match[str]) -> tuple[int, int, int, int]:
    """Where a layer stands in the order of adapter files: down, up, mid."""
    part, block, attention, depth = match.groups()[:4]
    return ORDER[part], int(block or 0), int(attention), int(depth)
