"""Words and inputs of earlier releases of ComfyUI_IPAdapter_plus, by what they are today.

Source: its history from 414486b (2023-09-03) to 9d076a3 (2025-02-26).
"""

from typing import Any

from comfy_api.latest import io

from ...ipadapter_core.weights.scaling import Scaling
from ..file_names import known_name

RENAMED: dict[str, tuple[str, ...]] = {
    "style transfer (SDXL)": ("style transfer",),
    "style transfer (SDXL only)": ("style transfer",),
    "composition (SDXL)": ("composition",),
    "style transfer and composition": ("style and composition",),
    "original": ("linear", "standard"),
    "channel penalty": ("linear", "standard"),
    "standard": ("linear",),
    "linear": ("standard",),
    "prompt is more important": ("ease out",),
    "ease out": ("prompt is more important",),
    "reverse_in_out": ("ease_out",),  # the same curve
    "lanczos": ("LANCZOS",),
    "bicubic": ("BICUBIC",),
    "bilinear": ("BILINEAR",),
    "nearest": ("NEAREST",),
    "nearest-exact": ("NEAREST",),
    "area": ("BOX",),
}
IMPLIED: dict[str, dict[str, Any]] = {"channel penalty": {"embeds_scaling": Scaling.K_AND_MEAN_V_PENALTY.value}}
LATER = {
    "IPAdapter": ("weight_type",),
    "IPAdapterAdvanced": ("embeds_scaling",),
    "IPAdapterBatch": ("embeds_scaling", "encode_batch_size"),
    "IPAdapterFaceID": ("embeds_scaling",),
    "IPAAdapterFaceIDBatch": ("embeds_scaling",),
    "IPAdapterTiled": ("embeds_scaling",),
    "IPAdapterTiledBatch": ("embeds_scaling", "encode_batch_size"),
    "IPAdapterEmbeds": ("embeds_scaling",),
    "IPAdapterInsightFaceLoader": ("model_name",),
    "IPAdapterEncoder": ("ipadapter", "image", "weight"),
    "IPAdapterApply": ("weight_type", "start_at", "end_at", "unfold_batch"),
    "IPAdapterApplyEncoded": ("weight_type", "start_at", "end_at", "unfold_batch"),
    "IPAdapterWeights": ("add_starting_frames", "add_ending_frames", "method"),
}  # inputs that an id got after its first release, so that prompts without them are valid

FORMER: dict[str, dict[str, str]] = {
    "IPAdapterEncoder": {"plus": "BOOLEAN", "ipadapter_plus": "BOOLEAN", "noise": "FLOAT"}
    | {f"image_{place}": "IMAGE" for place in range(1, 5)}
    | {f"weight_{place}": "FLOAT" for place in range(1, 5)},
}  # inputs that an id has no more, of a time when it did the same without them


class Words(list[str]):
    """The options of a choice.

    Programs find a list; for ComfyUI it is the type of a choice, and has what its words were once called and the other
    system's separators among its words.
    """

    def current(self, word: str) -> str:
        """The option that a word means today; a word that means none is given back."""
        if self._has(word):
            return word
        renamed = [one for one in RENAMED.get(word, ()) if self._has(one)]
        return (*renamed, known_name(word, self))[0]

    def _has(self, word: str) -> bool:
        return super().__contains__(word)

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and self._has(self.current(word))

    def __eq__(self, other: object) -> bool:
        return other == io.Combo.io_type if isinstance(other, str) else super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] - ComfyUI looks it up as a type
        return hash(io.Combo.io_type)
