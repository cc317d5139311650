"""What other packs call the old nodes by: the method of each class, and their calls as their public code writes them."""

import numpy as np
import torch
from pack.ipadapter_core.compat.pipeline import AdapterModel

METHODS = {
    "IPAdapter": "apply_ipadapter", "IPAdapterAdvanced": "apply_ipadapter", "IPAdapterBatch": "apply_ipadapter",
    "IPAdapterFaceID": "apply_ipadapter", "IPAAdapterFaceIDBatch": "apply_ipadapter",
    "IPAdapterFaceIDKolors": "apply_ipadapter", "IPAdapterTiled": "apply_tiled", "IPAdapterTiledBatch": "apply_tiled",
    "IPAdapterEmbeds": "apply_ipadapter", "IPAdapterEmbedsBatch": "apply_ipadapter",
    "IPAdapterStyleComposition": "apply_ipadapter", "IPAdapterStyleCompositionBatch": "apply_ipadapter",
    "IPAdapterMS": "apply_ipadapter", "IPAdapterClipVisionEnhancer": "apply_ipadapter",
    "IPAdapterClipVisionEnhancerBatch": "apply_ipadapter", "IPAdapterFromParams": "apply_ipadapter",
    "IPAdapterPreciseStyleTransfer": "apply_ipadapter", "IPAdapterPreciseStyleTransferBatch": "apply_ipadapter",
    "IPAdapterPreciseComposition": "apply_ipadapter", "IPAdapterPreciseCompositionBatch": "apply_ipadapter",
    "IPAdapterUnifiedLoader": "load_models", "IPAdapterUnifiedLoaderFaceID": "load_models",
    "IPAdapterUnifiedLoaderCommunity": "load_models", "IPAdapterModelLoader": "load_ipadapter_model",
    "IPAdapterInsightFaceLoader": "load_insightface", "IPAdapterEncoder": "encode", "IPAdapterCombineEmbeds": "batch",
    "IPAdapterNoise": "make_noise", "PrepImageForClipVision": "prep_image", "IPAdapterSaveEmbeds": "save",
    "IPAdapterLoadEmbeds": "load", "IPAdapterWeights": "weights", "IPAdapterWeightsFromStrategy": "weights",
    "IPAdapterPromptScheduleFromWeightsStrategy": "prompt_schedule", "IPAdapterCombineWeights": "combine",
    "IPAdapterRegionalConditioning": "conditioning", "IPAdapterCombineParams": "combine",
}  # fmt: skip


def rand(*shape, seed=1):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


CALLS = {
    "Easy-Use apply": ("IPAdapter", lambda w, p: ((w.model, p, w.image, 0.8, 0.0, 0.9), {
        "weight_type": "standard", "attn_mask": None}), 2),
    "Easy-Use apply, FaceID and Kolors presets": ("IPAdapterAdvanced", lambda w, p: ((w.model, p), {
        "start_at": 0.0, "end_at": 1.0, "weight": 0.8, "weight_type": "linear", "combine_embeds": "concat",
        "weight_faceidv2": 1.0, "image": w.image, "image_negative": None, "clip_vision": None, "attn_mask": None,
        "insightface": None, "embeds_scaling": "V only", "weight_kolors": 0.8}), 2),
    "Easy-Use advanced": ("IPAdapterAdvanced", lambda w, p: ((w.model, p), {
        "weight": 0.8, "weight_type": "linear", "start_at": 0.0, "end_at": 1.0, "combine_embeds": "concat",
        "weight_faceidv2": 1.0, "image": w.image, "image_negative": None, "weight_style": 1.0, "weight_composition": 1.0,
        "image_style": None, "image_composition": None, "expand_style": False, "clip_vision": None, "attn_mask": w.mask,
        "insightface": None, "embeds_scaling": "K+V", "weight_kolors": 0.8}), 2),
    "Easy-Use Mad Scientist": ("IPAdapterAdvanced", lambda w, p: ((w.model, p), {
        "weight": 0.8, "weight_type": "linear", "start_at": 0.0, "end_at": 1.0, "image": w.image,
        "layer_weights": "0: 1.0, 2: 0.5", "weight_kolors": 0.8}), 2),
    "Easy-Use batch": ("IPAdapterBatch", lambda w, p: ((w.model, p), {
        "weight": 0.8, "weight_type": "linear", "start_at": 0.0, "end_at": 1.0, "combine_embeds": "concat",
        "weight_faceidv2": 1.0, "image": w.image, "expand_style": False, "embeds_scaling": "V only",
        "weight_kolors": 0.8}), 2),
    "Easy-Use tiled": ("IPAdapterTiled", lambda w, p: ((w.model, p, w.image, 0.8, "linear", 0.0, 1.0), {
        "sharpening": 0.0, "combine_embeds": "concat", "image_negative": None, "attn_mask": None, "clip_vision": None,
        "embeds_scaling": "V only"}), 3),
    "Easy-Use tiled batch": ("IPAdapterTiledBatch", lambda w, p: ((w.model, p), {
        "image": w.image, "weight": 0.8, "weight_type": "linear", "start_at": 0.0, "end_at": 1.0, "sharpening": 0.1,
        "combine_embeds": "average", "image_negative": w.image, "attn_mask": w.mask, "clip_vision": w.encoder,
        "embeds_scaling": "V only"}), 3),
    "Easy-Use style and composition": ("IPAdapterAdvanced", lambda w, p: ((w.model, p), {
        "start_at": 0.0, "end_at": 1.0, "weight_style": 1.0, "weight_composition": 0.7, "weight_type": "linear",
        "combine_embeds": "average", "weight_faceidv2": 0.7, "image_style": w.image, "image_composition": None,
        "image_negative": None, "expand_style": True, "clip_vision": None, "attn_mask": None, "insightface": None,
        "embeds_scaling": "V only"}), 2),
    "Inspire regional": ("IPAdapterAdvanced", lambda w, p: ((), {
        "model": w.model, "ipadapter": AdapterModel(w.base), "weight": 0.7, "weight_type": "linear", "start_at": 0.0,
        "end_at": 1.0, "combine_embeds": "concat", "clip_vision": w.encoder, "image": w.image, "image_negative": None,
        "attn_mask": w.mask, "insightface": None, "weight_faceidv2": False}), 2),
    "Impact SEGS": ("IPAdapterAdvanced", lambda w, p: ((), {
        "model": w.model, "ipadapter": AdapterModel(w.base), "weight": 0.7, "weight_type": "channel penalty",
        "start_at": 0.0, "end_at": 0.9, "combine_embeds": "concat", "clip_vision": w.encoder, "image": w.image,
        "image_negative": w.image, "attn_mask": None, "insightface": None, "weight_faceidv2": False}), 2),
    "Steerable Motion": ("IPAdapterBatch", lambda w, p: ((), {
        "model": w.model, "ipadapter": p, "image": rand(3, 64, 64, 3), "weight": [x * 0.8 for x in np.array([1.0, 0.5])],
        "weight_type": "ease in-out", "start_at": 0.0, "end_at": 1.0, "clip_vision": w.encoder,
        "image_negative": rand(3, 64, 64, 3, seed=2), "embeds_scaling": "V only", "encode_batch_size": 1,
        "image_schedule": [0, 1, 2]}), 2),
    "Steerable Motion tiled": ("IPAdapterTiledBatch", lambda w, p: ((), {
        "model": w.model, "ipadapter": p, "image": rand(2, 64, 64, 3), "weight": [0.8, 0.1], "weight_type": "linear",
        "start_at": 0.0, "end_at": 1.0, "clip_vision": w.encoder, "sharpening": 0.1, "embeds_scaling": "V only",
        "encode_batch_size": 1, "image_schedule": [0, 1]}), 3),
    "ComfyUI-to-Python": ("IPAdapterAdvanced", lambda w, p: ((), {
        "weight": 1, "weight_type": "linear", "combine_embeds": "concat", "start_at": 0, "end_at": 1,
        "embeds_scaling": "V only", "model": w.model, "ipadapter": p, "image": w.image}), 2),
    "a script of March 2024": ("IPAdapterAdvanced", lambda w, p: (
        (w.model, p, w.image, 0.8, "linear", 0.0, 1.0, "concat", None, None, w.encoder), {}), 2),
    "a script of March 2024, simple": ("IPAdapter", lambda w, p: ((w.model, p, w.image, 0.8, 0.0, 1.0, w.mask), {}), 2),
}  # fmt: skip
