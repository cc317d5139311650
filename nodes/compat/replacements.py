"""Native nodes that ComfyUI may put in the place of old ones, where one node is enough.

They come into play only where nobody has the old id: where ours are switched off, or in a browser that misses them. All
other old nodes become several, which `python3 dev.py migrate` does. ComfyUI's server wants every mapped input to be in the
prompt and cannot replace two nodes that follow each other; the browser, which can, wants outputs and the order of the old
widgets named. All of that is here.
"""

import sys
from typing import Any, NamedTuple

from comfy_api.latest import ComfyAPI, io


class Replacement(NamedTuple):
    """An old id, the native id, the old widgets in order, old inputs by new ones, fixed values, new outputs by old ones."""

    old: str
    new: str
    widgets: tuple[str, ...]
    inputs: dict[str, str]
    values: dict[str, str | float] = {}
    outputs: tuple[int, ...] = (0,)

    def as_comfyui_has_it(self) -> io.NodeReplace:
        """For registration."""
        inputs: list[Any] = [{"new_id": new, "old_id": old} for new, old in self.inputs.items()]
        fixed = [{"new_id": new, "set_value": value} for new, value in self.values.items()]
        outputs: list[Any] = [{"new_idx": place, "old_idx": place} for place in self.outputs]
        return io.NodeReplace(self.new, self.old, list(self.widgets), [*inputs, *fixed], outputs)


ENCODED = {"ip_adapter": "ipadapter", "image": "image", "mask": "mask", "clip_vision": "clip_vision"}
APPLIED = {
    "model": "model", "ip_adapter": "ipadapter", "image_prompt": "pos_embed", "weight": "weight",
    "start_percent": "start_at", "end_percent": "end_at", "embeds_scaling": "embeds_scaling", "mask": "attn_mask",
}  # fmt: skip
PRESET = {"model": "model", "preset": "preset"}
REPLACEMENTS = (
    Replacement("IPAdapterModelLoader", "IPAdapterCoreLoad", ("ipadapter_file",), {"ip_adapter_name": "ipadapter_file"}),
    Replacement(
        "IPAdapterInsightFaceLoader", "IPAdapterCoreLoadFaceAnalysis", ("provider", "model_name"),
        {"provider": "provider", "model_name": "model_name"},
    ),
    Replacement(
        "InsightFaceLoader", "IPAdapterCoreLoadFaceAnalysis", ("provider",), {"provider": "provider"},
        {"model_name": "buffalo_l"},
    ),
    Replacement(
        "IPAdapterCLIPVisionEncode", "CLIPVisionEncode", (), {"clip_vision": "clip_vision", "image": "image"},
        {"crop": "center"},
    ),
    Replacement(
        "IPAdapterUnifiedLoader", "IPAdapterCoreLoadPreset", ("preset",), PRESET, {"lora_strength": 1.0, "provider": "CPU"},
        (0, 1),
    ),
    Replacement(
        "IPAdapterUnifiedLoaderCommunity", "IPAdapterCoreLoadPreset", ("preset",), PRESET,
        {"lora_strength": 1.0, "provider": "CPU"}, (0, 1),
    ),
    Replacement(
        "IPAdapterUnifiedLoaderFaceID", "IPAdapterCoreLoadPreset", ("preset", "lora_strength", "provider"),
        PRESET | {"lora_strength": "lora_strength", "provider": "provider"}, {}, (0, 1),
    ),
    Replacement("IPAdapterEncoder", "IPAdapterCoreEncode", ("weight",), ENCODED, {"fit": "center"}),
    Replacement(
        "IPAdapterEmbeds", "IPAdapterCoreApply", ("weight", "weight_type", "start_at", "end_at", "embeds_scaling", "results"),
        APPLIED,
    ),
    Replacement("IPAdapterSaveEmbeds", "IPAdapterCoreSave", ("filename_prefix",),
                {"image_prompt": "embeds", "filename_prefix": "filename_prefix"}, {}, ()),
    Replacement("IPAdapterLoadEmbeds", "IPAdapterCoreLoadPrompt", ("embeds",), {"file": "embeds"}),
    Replacement(
        "IPAdapterNoise", "IPAdapterCoreNoise", ("type", "strength", "blur"),
        {"type": "type", "strength": "strength", "blur": "blur", "image": "image_optional"}, {"seed": 0},
    ),
)  # fmt: skip


async def register_replacements() -> None:
    """Tells ComfyUI's server; without one, as in a tool that only lists nodes, there is nobody to tell."""
    server = sys.modules.get("server")
    if server is None or not hasattr(server.PromptServer, "instance"):
        return
    for replacement in REPLACEMENTS:
        await ComfyAPI().node_replacement.register(replacement.as_comfyui_has_it())
