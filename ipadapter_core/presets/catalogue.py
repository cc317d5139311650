"""The presets, and where the files that they mean are published."""

from enum import Enum
from typing import NamedTuple

from ..checkpoint.enums import BaseModel, FormatName
from ..encoders.sizes import EncoderSizes


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
        target = f"models/{self.folder}/{self.saved_as}"
        return f"https://huggingface.co/{self.repository}/blob/main/{self.file} into {target}"

    @property
    def saved_as(self) -> str:
        """Its name in the folder."""
        return self.name or self.file.rsplit("/", 1)[-1]


class PresetSpec(NamedTuple):
    """What a preset means: the format, the feature width where that matters, the words that names are ranked by, and the
    published file for each base model.
    """

    format: FormatName
    width: int | None
    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]
    files: dict[BaseModel, Published]


PLAIN, FACES = "h94/IP-Adapter", "h94/IP-Adapter-FaceID"
SD15, SDXL, KOLORS = BaseModel.SD15, BaseModel.SDXL, BaseModel.KOLORS
SPECIAL = ("face", "composition", "light", "noob", "mark1")

MEANINGS = {
    Preset.LIGHT: PresetSpec(FormatName.BASE, 1024, ("light", "v11"), SPECIAL[:2], {
        SD15: Published(PLAIN, "models/ip-adapter_sd15_light_v11.bin")}),
    Preset.STANDARD: PresetSpec(FormatName.BASE, 1024, ("ip-adapter_sd",), SPECIAL, {
        SD15: Published(PLAIN, "models/ip-adapter_sd15.safetensors"),
        SDXL: Published(PLAIN, "sdxl_models/ip-adapter_sdxl_vit-h.safetensors")}),
    Preset.VIT_G: PresetSpec(FormatName.BASE, 1280, ("ip-adapter_sd",), SPECIAL, {
        SD15: Published(PLAIN, "models/ip-adapter_sd15_vit-G.safetensors"),
        SDXL: Published(PLAIN, "sdxl_models/ip-adapter_sdxl.safetensors")}),
    Preset.PLUS: PresetSpec(FormatName.PLUS, 1280, ("plus",), SPECIAL, {
        SD15: Published(PLAIN, "models/ip-adapter-plus_sd15.safetensors"),
        SDXL: Published(PLAIN, "sdxl_models/ip-adapter-plus_sdxl_vit-h.safetensors")}),
    Preset.PLUS_FACE: PresetSpec(FormatName.PLUS, 1280, ("face",), ("composition",), {
        SD15: Published(PLAIN, "models/ip-adapter-plus-face_sd15.safetensors"),
        SDXL: Published(PLAIN, "sdxl_models/ip-adapter-plus-face_sdxl_vit-h.safetensors")}),
    Preset.FULL_FACE: PresetSpec(FormatName.FULL_FACE, 1280, ("full",), (), {
        SD15: Published(PLAIN, "models/ip-adapter-full-face_sd15.safetensors")}),
    Preset.COMPOSITION: PresetSpec(FormatName.PLUS, 1280, ("composition",), ("face",), {
        SD15: Published("ostris/ip-composition-adapter", "ip_plus_composition_sd15.safetensors"),
        SDXL: Published("ostris/ip-composition-adapter", "ip_plus_composition_sdxl.safetensors")}),
    Preset.FACEID: PresetSpec(FormatName.FACEID, None, ("faceid",), (), {
        SD15: Published(FACES, "ip-adapter-faceid_sd15.bin"), SDXL: Published(FACES, "ip-adapter-faceid_sdxl.bin")}),
    Preset.FACEID_PLUS: PresetSpec(FormatName.FACEID_PLUS_ANY, None, ("plus",), ("v2",), {
        SD15: Published(FACES, "ip-adapter-faceid-plus_sd15.bin")}),
    Preset.FACEID_PLUS_V2: PresetSpec(FormatName.FACEID_PLUS_ANY, None, ("v2",), (), {
        SD15: Published(FACES, "ip-adapter-faceid-plusv2_sd15.bin"),
        SDXL: Published(FACES, "ip-adapter-faceid-plusv2_sdxl.bin")}),
    Preset.PORTRAIT: PresetSpec(FormatName.PORTRAIT, None, ("portrait", "v11"), (), {
        SD15: Published(FACES, "ip-adapter-faceid-portrait-v11_sd15.bin"),
        SDXL: Published(FACES, "ip-adapter-faceid-portrait_sdxl.bin")}),
    Preset.PORTRAIT_UNNORM: PresetSpec(FormatName.IDENTITY_RESAMPLER, None, ("unnorm",), ("instant",), {
        SDXL: Published(FACES, "ip-adapter-faceid-portrait_sdxl_unnorm.bin")}),
    Preset.KOLORS: PresetSpec(FormatName.PLUS, 1024, ("kolors", "general"), (), {
        KOLORS: Published("Kwai-Kolors/Kolors-IP-Adapter-Plus", "ip_adapter_plus_general.bin")}),
    Preset.KOLORS_FACEID: PresetSpec(FormatName.FACEID_PLUS, None, ("kolors", "faceid"), (), {
        KOLORS: Published("Kwai-Kolors/Kolors-IP-Adapter-FaceID-Plus", "ipa-faceid-plus.bin")}),
}  # fmt: skip

BESIDE = (
    Published("Tencent/InstantCharacter", "instantcharacter_ip-adapter.bin"),
)  # files of no preset, licences read
ENCODER_FILES = (  # image encoders by their sizes, and where they are published
    (EncoderSizes(1280, 1024, 32, 257), Published(
        PLAIN, "models/image_encoder/model.safetensors", "clip_vision", "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors")),
    (EncoderSizes(1664, 1280, 48, 257), Published(
        PLAIN, "sdxl_models/image_encoder/model.safetensors", "clip_vision",
        "CLIP-ViT-bigG-14-laion2B-39B-b160k.safetensors")),
    (EncoderSizes(1024, 768, 24, 577), Published(
        "Kwai-Kolors/Kolors-IP-Adapter-Plus", "image_encoder/pytorch_model.bin", "clip_vision",
        "clip-vit-large-patch14-336.bin")),
)  # fmt: skip
FACE_MODELS = {BaseModel.KOLORS: "antelopev2"}  # all others were trained with buffalo_l
