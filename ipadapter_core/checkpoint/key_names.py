"""Key names that only the whole file explains: layers by their place in diffusers' UNet, and what belongs elsewhere."""

import re
from collections.abc import Iterable

from .layouts import canonical

LAYERS = "ip_adapter."
FACE_LORA_KEY = re.compile(r"ip_adapter\.(\d+)\.to_(q|k|v|out)_lora\.(down|up)\.weight")
ELSEWHERE = ("controlnet_adapter_modules.",)  # CSGO's second set of layers, for a ControlNet: not part of the adapter
DIFFUSERS_KEY = re.compile(
    r"(down_blocks|up_blocks|mid_block)\.(?:(\d+)\.)?attentions\.(\d+)\.transformer_blocks\.(\d+)\.attn2\.processor\."
    r"to_([kv])_ip\.0\.weight"
)
ORDER = {"down_blocks": 0, "up_blocks": 1, "mid_block": 2}


def canonical_names(keys: Iterable[str]) -> dict[str, str]:
    """The flat name of every key that belongs to an adapter; a key that nobody knows keeps its own."""
    names = {key: canonical(key) for key in keys if not key.startswith(ELSEWHERE)}
    matches = {key: match for key in names if (match := DIFFUSERS_KEY.fullmatch(key))}
    ranks = {place: rank for rank, place in enumerate(sorted({_place(match) for match in matches.values()}))}
    for key, match in matches.items():
        names[key] = f"{LAYERS}{2 * ranks[_place(match)] + 1}.to_{match[5]}_ip.weight"
    return names


def _place(match: re.Match) -> tuple[int, int, int, int]:
    """Where a layer stands in the order of adapter files: down, up, mid."""
    part, block, attention, depth = match.groups()[:4]
    return ORDER[part], int(block or 0), int(attention), int(depth)
