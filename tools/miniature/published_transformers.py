"""Keys and shapes of the published adapters for transformer models."""

from pack.tools.miniature.instant_character import instant_character
from pack.tools.miniature.lynx import full_layers, lite_layers, resampler
from pack.tools.miniature.pulid import id_former, pulid_flux
from pack.tools.miniature.transformers import instantx_flux, instantx_sd3, lucifer, perceiver, xlabs

FILES = {  # shapes as published; parameters in millions, as the files' sizes tell
    "XLabs v1": (xlabs(19, 3072, 4096, 4, 768), 490.9),
    "XLabs v2": (xlabs(19, 3072, 4096, 16, 768), 528.7),
    "InstantX FLUX": (instantx_flux(57, 3072, 4096, 128, 1152), 2645.6),
    "InstantX SD3.5": (instantx_sd3(38, 2432, 1152, 1280, 64, 320), 797.9),
    "LuciferTC": (lucifer(28, 2048, 768, 1024, 32), 251.6),
    "PuLID FLUX": (pulid_flux(20, 3072, 2048, 2048, id_former(2048, 1024, 32, 1280, 1024)), 571.03),
    "Lynx lite": (lite_layers(20, 5120, 2048) | resampler(2048, 1280, 1280, 16, 4), 501.42),
    "Lynx full": (full_layers(40, 5120, 5120, 16) | resampler(5120, 1280, 1280, 16, 4), 2186.76),
    "InstantCharacter": (instant_character(57, 3072, 4096, 2688, 1280, 1024, 320, 4), 2794.9),
    "Anima PE-Core": (perceiver(28, 2048, 1024, 1024, 16), 153.2),
}
