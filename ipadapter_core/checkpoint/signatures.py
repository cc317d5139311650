"""Files that are no IP-Adapter of ours: a row each, with the keys that give them away and the node that takes them."""

import re
from typing import NamedTuple

from .headers import Container, Header


class Signature(NamedTuple):
    """A kind of file: what it is, what to do with it, patterns that must each match the beginning of a key, patterns that
    no key may match, and shapes by key. Rows are tried in order, the special ones first.
    """

    name: str
    what: str
    then: str
    keys: tuple[str, ...]
    without: tuple[str, ...] = ()
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()


LATER = "it is not supported by this pack"
CONTROLNET = "use Load ControlNet Model, models/controlnet"
MODEL = "use Load Diffusion Model, models/diffusion_models"
CHECKPOINT = "use Load Checkpoint, models/checkpoints"
VISION = "use Load Image Encoder or Load CLIP Vision, models/clip_vision"
CLIP = "use Load CLIP, models/text_encoders"
LORA = "use Load LoRA, models/loras"
VAE = "use Load VAE, models/vae"
EMBEDDING = "write embedding:name in a prompt, models/embeddings"
LYNX = "choose the file with Lynx' ip layers, which act without them"
LAYER = r"ip_adapter\.[0-9]+\."

ADAPTERS = (  # adapters of other kinds, which may have much in common with ours
    Signature("PuLID FLUX.2", "PuLID for FLUX.2", LATER, (r"id_former\.latents", r"double_ca\.0\.")),
    Signature("Lynx reference layers", "the reference layers of Lynx for Wan", LYNX,
              (r"blocks\.[0-9]+\.self_attn\.ref_adapter\.",)),
    Signature("Lynx reference layers, published", "the reference layers of Lynx for Wan", LYNX,
              (r"[0-9]+\.to_k_ref\.weight$",)),
    Signature("Lynx resampler", "the resampler of Lynx for Wan, half of an adapter",
              "choose the file with its ip layers, and this one as resampler_name of Load IP-Adapter",
              (r"latents$", r"proj_in\.weight$", r"proj_out\.weight$", r"layers\.0\.0\.to_q\.weight$")),
    Signature("WithAnyone", "WithAnyone for FLUX.1", LATER, (r"ipa_arc\.0\.",)),
    Signature("WithAnyone Kontext", "WithAnyone for FLUX.1 Kontext", LATER, (r"ipa\.[0-9]+\.", r"arcface_in\.")),
    Signature("InfiniteYou", "the projector of InfiniteYou", "it belongs to InfiniteYou's own ControlNet node",
              (r"image_proj\.proj_out",), (LAYER, r"adapter_modules\."), (("image_proj.latents", (1, 8, 1280)),)),
    Signature("ConsistentID", "ConsistentID, which also rewrites the words of the prompt", LATER, (r"FacialEncoder\.",)),
    Signature("PhotoMaker", "PhotoMaker", "use Load PhotoMaker Model and PhotoMaker Encode, models/photomaker",
              (r"id_encoder\.", r"lora_weights\.")),
    Signature("USO", "the style projector of USO", "use Load Model Patch and Apply USO Style Reference, models/model_patches",
              (r"feature_embedder\.mid_layer_norm\.bias",)),
    Signature("FLUX Redux", "FLUX Redux", "use Load Style Model and Apply Style Model, models/style_models",
              (r"redux_up\.weight",)),
    Signature("Style Components", "an adapter of values alone (Style Components)", LATER, (LAYER + r"to_v_ip",),
              (LAYER + r"to_k_ip",)),
    Signature("StyleShot", "StyleShot", LATER, (r"style_image_proj_modules\.",)),
    Signature("StyleShot encoder", "the style encoder of StyleShot", LATER, (r"style_embeddings\.", r"cnn\.")),
    Signature("StyleCrafter", "StyleCrafter", LATER, (r"kv_attn_layers\.[0-9]+\.to_k_style",)),
    Signature("MS-Diffusion", "MS-Diffusion", LATER, (r"ms_adapter\.",)),
    Signature("MIP-Adapter", "MIP-Adapter, which needs the places of words", LATER, (LAYER + r"text_to_weight",)),
    Signature("UniPortrait", "UniPortrait", LATER, (r".*\.to_k_faceid",)),
    Signature("StoryMaker", "StoryMaker", LATER, (r"(image_proj\.)?bg_embed",)),
    Signature("SSR-Encoder", "SSR-Encoder", LATER, (r".*\.to_k_SSR",)),
    Signature("InstantIR", "the adapter of InstantIR", LATER, (r".*\.ln_k_ip",)),
    Signature("HunyuanDiT", "the IP-Adapter for HunyuanDiT", LATER, (r".*ip_adapter_clip_len_trans_block",)),
    Signature("Instruct SD3", "IP-Adapter-Instruct for SD3", LATER, (r".*proj_encoder_hidden_states_ip",)),
    Signature("Anima variant", "an adapter for Anima of another kind", LATER, (r"(ip_cross_attns\.|ref_conditioner\.)",)),
)  # fmt: skip
OTHERS = (  # files with nothing of an adapter in them
    Signature("AnimateDiff", "a motion model of AnimateDiff", "use AnimateDiff's own loader, models/animatediff_models",
              (r".*motion_modules\.",)),
    Signature("ControlNet", "a ControlNet", CONTROLNET,
              (r"(control_model\.|controlnet_|zero_convs\.|input_hint_block\.|lora_controlnet|control_)",)),
    Signature("T2I-Adapter", "a T2I-Adapter", CONTROLNET, (r"(adapter\.)?body\.[0-9]+\.(block1|in_conv|resnets)",)),
    Signature("T2I style adapter", "a T2I style adapter", "use Load Style Model, models/style_models",
              (r"style_embedding$", r"transformer_layes\.")),
    Signature("GLIGEN", "GLIGEN", "use Load GLIGEN Model, models/gligen", (r"position_net\.",)),
    Signature("LoRA", "a LoRA", LORA,
              (r".*[._](lora_(up|down|A|B|mid)|lora\.(up|down)|hada_w1_a|lokr_w[12](_a)?|oft_(blocks|diag))(\.|$)",)),
    Signature("hypernetwork", "a hypernetwork", "use Load Hypernetwork, models/hypernetworks", (r"[0-9]+\.0\.linear",)),
    Signature("embedding", "a textual inversion embedding", EMBEDDING, (r"(string_to_param\.|emb_params$|clip_[lg]$)",)),
    Signature("checkpoint", "a whole checkpoint", CHECKPOINT, (r"model\.diffusion_model\.",)),
    Signature("VAE", "a VAE", VAE, (r"(.*\.)?decoder\.(up|up_blocks|conv_in|middle|upsamples)(\.|$)",)),
    Signature("upscaler", "an upscale model", "use Load Upscale Model, models/upscale_models",
              (r"(model\.0\.|conv_first\.|RRDB_trunk\.|body\.0\.rdb)",)),
    Signature("PE-Core", "the image encoder PE-Core", VISION, (r"(module\.)?(visual\.)?attn_pool\.probe",)),
    Signature("CSD", "the style encoder CSD", VISION, (r".*last_layer_style$",)),
    Signature("EVA-CLIP", "the image encoder EVA-CLIP, which PuLID uses", VISION, (r"visual\.blocks\.0\.attn\.q_proj",)),
    Signature("CLIP with both parts", "a CLIP or SigLIP with its text part", VISION, (r"text_model\.", r"vision_model\.")),
    Signature("image encoder", "an image encoder", VISION, (r"(vision_model\.|visual\.|.*\.vision_tower\.)",)),
    Signature("DINOv2", "the image encoder DINOv2", VISION, (r"(dinov2\.)?embeddings\.patch_embeddings\.projection",)),
    Signature("face parser", "a face parser (BiSeNet)", LATER, (r"cp\.resnet\.",)),
    Signature("face recognition", "a face recognition model",
              "use Load Face Analysis: IR-SE50 in models/facexlib, others in onnx format in models/insightface/models",
              (r"(output_layer\.|input_layer\.)", r"body\.0\.")),
    Signature("text encoder", "a text encoder", CLIP,
              (r"(text_model\.|transformer\.resblocks\.|encoder\.block\.[0-9]+\.layer|model\.layers\.[0-9]+\.self_attn)",)),
    Signature("diffusion model", "a diffusion model", MODEL,
              (r"((model\.)?(input_blocks|double_blocks|joint_blocks|single_blocks|transformer_blocks|down_blocks)\."
               r"|(net\.|model\.)?blocks\.[0-9]+\.(self_attn|cross_attn|attn|adaln)|unet\.|layers\.[0-9]+\.attention\.)",)),
)  # fmt: skip
SAVED_PROMPT = "a saved image prompt; use Load Image Prompt, output/image_prompts"
GGUF = "a GGUF model; use the loader of the pack ComfyUI-GGUF, models/diffusion_models or models/text_encoders"
EMBEDS = "embeds saved by ComfyUI_IPAdapter_plus (.ipadpt); use Load Image Prompt, from the input folder"


def elsewhere(header: Header, adapter: bool) -> str | None:
    """What a file is and which node takes it, in words that follow "is"; None where no row fits.

    `adapter` says whether some of its keys are an adapter's: then it is none of the other kinds.
    """
    if header.container is Container.GGUF:
        return GGUF
    if header.metadata.get("format", "").startswith("ipadapter-core image prompt"):
        return SAVED_PROMPT
    if list(header.tensors) == [""]:
        return EMBEDS
    names = "\n".join(header.tensors)
    for row in ADAPTERS if adapter else ADAPTERS + OTHERS:
        there = all(_found(pattern, names) for pattern in row.keys)
        alike = all(header.tensors[key].shape == shape for key, shape in row.shapes if key in header.tensors)
        if there and alike and not any(_found(pattern, names) for pattern in row.without):
            return f"{row.what}, not an IP-Adapter that this pack loads; {row.then}"
    return None


def _found(pattern: str, names: str) -> bool:
    return re.search(rf"^{pattern}", names, re.MULTILINE) is not None
