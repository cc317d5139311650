"""The presets, and where the files that they mean are published."""

from enum import Enum
from typing import NamedTuple

from ..checkpoint.spec import BaseModel


class Preset(str, Enum):
    """What people ask for."""

    LIGHT = "LIGHT (low strength)"
    STANDARD = "STANDARD (medium strength)"
    VIT_G = "VIT-G (medium strength)"
    PLUS = "PLUS (high strength)"
    PLUS_FACE = "PLUS FACE (portraits)"
    FULL_FACE = "FULL FACE (portraits, SD1.5)"
    COMPOSITION = "COMPOSITION"
    FACEID = "FACEID"
    FACEID_PLUS = "FACEID PLUS (SD1.5)"
    FACEID_PLUS_V2 = "FACEID PLUS V2"
    PORTRAIT = "FACEID PORTRAIT"
    PORTRAIT_UNNORM = "FACEID PORTRAIT UNNORM (SDXL)"
    KOLORS = "KOLORS PLUS"
    KOLORS_FACEID = "KOLORS FACEID PLUS"


class Published(NamedTuple):
    """A file on Hugging Face, and the folder below models/ that it belongs in."""

    repository: str
    file: str
    folder: str = "ipadapter"
    name: str = ""  # to save it as, where its own name says nothing

    def __str__(self) -> str:
        target = f"models/{self.folder}/{self.name or self.file.rsplit('/', 1)[-1]}"
        return f"https://huggingface.co/{self.repository}/blob/main/{self.file} into {target}"


class PresetSpec(NamedTuple):
    """What a preset means: the format, the feature width where that matters, the words that names are ranked by, and the
    published file for each base model.
    """

    format: str
    width: int | None
    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]
    files: dict[BaseModel, Published]


PLAIN, FACES = "h94/IP-Adapter", "h94/IP-Adapter-FaceID"
SD15, SDXL, KOLORS = BaseModel.SD15, BaseModel.SDXL, BaseModel.KOLORS
SPECIAL = ("face", "composition", "light", "noob", "mark1")

MEANINGS = {
    Preset.LIGHT: PresetSpec("base", 1024, ("light", "v11"), SPECIAL[:2], {
        SD15: Published(PLAIN, "models/ip-adapter_sd15_light_v11.bin")}),
    Preset.STANDARD: PresetSpec("base", 1024, ("ip-adapter_sd",), SPECIAL, {
        SD15: Published(PLAIN, "models/ip-adapter_sd15.safetensors"),
        SDXL: Published(PLAIN, "sdxl_models/ip-adapter_sdxl_vit-h.safetensors")}),
    Preset.VIT_G: PresetSpec("base", 1280, ("ip-adapter_sd",), SPECIAL, {
        SD15: Published(PLAIN, "models/ip-adapter_sd15_vit-G.safetensors"),
        SDXL: Published(PLAIN, "sdxl_models/ip-adapter_sdxl.safetensors")}),
    Preset.PLUS: PresetSpec("plus", 1280, ("plus",), SPECIAL, {
        SD15: Published(PLAIN, "models/ip-adapter-plus_sd15.safetensors"),
        SDXL: Published(PLAIN, "sdxl_models/ip-adapter-plus_sdxl_vit-h.safetensors")}),
    Preset.PLUS_FACE: PresetSpec("plus", 1280, ("face",), ("composition",), {
        SD15: Published(PLAIN, "models/ip-adapter-plus-face_sd15.safetensors"),
        SDXL: Published(PLAIN, "sdxl_models/ip-adapter-plus-face_sdxl_vit-h.safetensors")}),
    Preset.FULL_FACE: PresetSpec("full face", 1280, ("full",), (), {
        SD15: Published(PLAIN, "models/ip-adapter-full-face_sd15.safetensors")}),
    Preset.COMPOSITION: PresetSpec("plus", 1280, ("composition",), ("face",), {
        SD15: Published("ostris/ip-composition-adapter", "ip_plus_composition_sd15.safetensors"),
        SDXL: Published("ostris/ip-composition-adapter", "ip_plus_composition_sdxl.safetensors")}),
    Preset.FACEID: PresetSpec("FaceID", None, ("faceid",), (), {
        SD15: Published(FACES, "ip-adapter-faceid_sd15.bin"), SDXL: Published(FACES, "ip-adapter-faceid_sdxl.bin")}),
    Preset.FACEID_PLUS: PresetSpec("FaceID Plus or Plus V2", None, ("plus",), ("v2",), {
        SD15: Published(FACES, "ip-adapter-faceid-plus_sd15.bin")}),
    Preset.FACEID_PLUS_V2: PresetSpec("FaceID Plus or Plus V2", None, ("v2",), (), {
        SD15: Published(FACES, "ip-adapter-faceid-plusv2_sd15.bin"),
        SDXL: Published(FACES, "ip-adapter-faceid-plusv2_sdxl.bin")}),
    Preset.PORTRAIT: PresetSpec("FaceID Portrait", None, ("portrait", "v11"), (), {
        SD15: Published(FACES, "ip-adapter-faceid-portrait-v11_sd15.bin"),
        SDXL: Published(FACES, "ip-adapter-faceid-portrait_sdxl.bin")}),
    Preset.PORTRAIT_UNNORM: PresetSpec("FaceID Portrait unnorm or InstantID", None, ("unnorm",), ("instant",), {
        SDXL: Published(FACES, "ip-adapter-faceid-portrait_sdxl_unnorm.bin")}),
    Preset.KOLORS: PresetSpec("plus", 1024, ("kolors", "general"), (), {
        KOLORS: Published("Kwai-Kolors/Kolors-IP-Adapter-Plus", "ip_adapter_plus_general.bin")}),
    Preset.KOLORS_FACEID: PresetSpec("FaceID Plus", None, ("kolors", "faceid"), (), {
        KOLORS: Published("Kwai-Kolors/Kolors-IP-Adapter-FaceID-Plus", "ipa-faceid-plus.bin")}),
}  # fmt: skip

ENCODER_FILES = {
    "CLIP ViT-H/14": Published(PLAIN, "models/image_encoder/model.safetensors", "clip_vision",
                               "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors"),
    "CLIP ViT-bigG/14": Published(PLAIN, "sdxl_models/image_encoder/model.safetensors", "clip_vision",
                                  "CLIP-ViT-bigG-14-laion2B-39B-b160k.safetensors"),
    "CLIP ViT-L/14 at 336 pixels": Published("Kwai-Kolors/Kolors-IP-Adapter-Plus", "image_encoder/pytorch_model.bin",
                                             "clip_vision", "clip-vit-large-patch14-336.bin"),
}  # fmt: skip
FACE_MODELS = {BaseModel.KOLORS: "antelopev2"}  # all others were trained with buffalo_l
