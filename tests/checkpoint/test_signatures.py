"""Files that belong elsewhere are told what they are and which node takes them: one example of each row, by its real keys."""

import pytest
from pack.ipadapter_core.checkpoint.headers import read_header
from pack.ipadapter_core.checkpoint.recognise import recognise
from pack.ipadapter_core.checkpoint.signatures import ADAPTERS, OTHERS
from pack.ipadapter_core.errors import CheckpointError
from pack.tools.miniature.hollow_file import hollow_file

pytestmark = [pytest.mark.inputs, pytest.mark.adapters]

KV = {f"ip_adapter.{n}.to_{part}_ip.weight": (8, 4) for n in (1, 3) for part in "kv"}
EXAMPLES = {  # keys as the published files have them; shapes only where a row looks at them
    "PuLID FLUX.2": ["id_former.latents", "double_ca.0.to_q.weight", "single_ca.0.to_q.weight"],
    "Lynx reference layers": ["blocks.0.self_attn.ref_adapter.to_k_ref.weight"],
    "Lynx reference layers, published": ["0.to_k_ref.weight", "0.to_v_ref.weight", "1.to_k_ref.weight"],
    "Lynx resampler": ["latents", "proj_in.weight", "proj_out.weight", "layers.0.0.to_q.weight"],
    "WithAnyone": ["ipa_arc.0.to_kv.weight", "arcface_in_arc.0.weight", "ipa_sig.0.to_q.weight"],
    "WithAnyone Kontext": ["ipa.0.to_q.weight", "arcface_in.0.weight", "siglip_in.0.weight"],
    "InfiniteYou": {"image_proj.latents": (1, 8, 1280), "image_proj.proj_out.weight": (4096, 1280),
                    "image_proj.proj_in.weight": (1280, 512), "image_proj.layers.0.0.to_q.weight": (1280, 1280)},
    "ConsistentID": ["FacialEncoder.visual_projection.weight", "image_proj_model.proj.weight",
                     "adapter_modules.1.to_k_ip.weight"],
    "PhotoMaker": ["id_encoder.visual_projection_2.weight", "lora_weights.unet.down_blocks.0.to_q.lora.up.weight"],
    "USO": ["feature_embedder.mid_layer_norm.bias", "feature_embedder.mid_linear_1.weight"],
    "FLUX Redux": ["redux_up.weight", "redux_up.bias", "redux_down.weight"],
    "Style Components": ["image_proj.proj.0.weight", "image_proj.norm.weight", "ip_adapter.1.to_v_ip.weight"],
    "StyleShot": ["style_image_proj_modules.0.proj.weight", "adapter_modules.1.to_k_ip.weight"],
    "StyleShot encoder": ["style_embeddings.0", "cnn.0.conv_in.weight", "image_encoder.vision_model.pre_layrnorm.weight"],
    "StyleCrafter": ["kv_attn_layers.0.to_k_style.weight", "image_context_model.latents"],
    "MS-Diffusion": ["ms_adapter.1.to_k_ip.weight", "image_proj.latents", "dummy_image_tokens"],
    "MIP-Adapter": [*KV, "ip_adapter.1.text_to_weight.weight", "image_proj.proj.weight"],
    "UniPortrait": ["faceid_adapter_modules.1.to_k_faceid.weight", "faceid_proj.latents"],
    "StoryMaker": ["image_proj.bg_embed", "image_proj.pos_embed", *KV],
    "SSR-Encoder": ["adapter_modules.1.to_k_SSR.weight", "aligner.weight"],
    "InstantIR": ["adapter_modules.1.ln_k_ip.linear.weight", "image_proj.latents"],
    "HunyuanDiT": ["ip_adapter_clip_len_trans_block.weight", "blocks.0.attn2.kv_proj_ip_adapter.weight"],
    "Instruct SD3": ["ip_adapter.0.proj_encoder_hidden_states_ip.weight", "ip_adapter.0.proj_ip.weight"],
    "Anima variant": ["resampler.time_proj.weight", "ip_cross_attns.0.to_k_ip.weight"],
    "AnimateDiff": ["down_blocks.0.motion_modules.0.temporal_transformer.norm.weight"],
    "ControlNet": ["controlnet_cond_embedding.conv_in.weight", "controlnet_down_blocks.0.weight", "down_blocks.0.resnets.0.x"],
    "T2I-Adapter": ["adapter.body.0.resnets.0.block1.weight", "adapter.conv_in.weight"],
    "T2I style adapter": ["style_embedding", "proj", "transformer_layes.0.attn.in_proj_weight"],
    "GLIGEN": ["position_net.null_position_feature", "position_net.linears.0.weight"],
    "LoRA": ["lora_unet_down_blocks_1_attentions_0_proj_in.lora_down.weight",
             "lora_unet_down_blocks_1_attentions_0_proj_in.alpha"],
    "hypernetwork": ["768.0.linear.0.weight", "1280.0.linear.0.weight"],
    "embedding": ["string_to_param.*"],
    "checkpoint": ["model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.decoder.conv_in.weight"],
    "VAE": ["decoder.conv_in.weight", "encoder.conv_in.weight"],
    "upscaler": ["conv_first.weight", "RRDB_trunk.0.RDB1.conv1.weight"],
    "PE-Core": ["visual.attn_pool.probe", "visual.conv1.weight", "token_embedding.weight"],
    "CSD": ["model_state_dict.module.last_layer_style", "model_state_dict.module.backbone.conv1.weight"],
    "EVA-CLIP": ["visual.blocks.0.attn.q_proj.weight", "text.transformer.resblocks.0.ln_1.weight"],
    "CLIP with both parts": ["vision_model.encoder.layers.0.layer_norm1.weight", "text_model.final_layer_norm.weight"],
    "image encoder": ["vision_model.encoder.layers.0.layer_norm1.weight", "visual_projection.weight"],
    "DINOv2": ["embeddings.patch_embeddings.projection.weight", "encoder.layer.0.attention.attention.query.weight"],
    "face parser": ["cp.resnet.conv1.weight", "conv_out.conv_out.weight"],
    "face recognition": ["input_layer.0.weight", "body.0.res_layer.0.weight", "output_layer.3.weight"],
    "text encoder": ["text_model.encoder.layers.0.layer_norm1.weight", "text_model.final_layer_norm.weight"],
    "diffusion model": ["double_blocks.0.img_attn.qkv.weight", "single_blocks.0.linear1.weight"],
}  # fmt: skip
FURTHER = {  # other names that the same kinds go by
    "LoRA": [
        ["transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight"], ["unet.down_blocks.0.attn1.to_q.lora.up.weight"],
        ["lora_unet_x.hada_w1_a"], ["diffusion_model.blocks.0.self_attn.q.lora_B.weight"], ["lora_unet_x.lokr_w1"],
    ],
    "ControlNet": [["control_model.zero_convs.0.0.weight"], ["controlnet_blocks.0.weight", "transformer_blocks.0.norm1.x"]],
    "text encoder": [["encoder.block.0.layer.0.SelfAttention.q.weight", "shared.weight"],
                     ["model.layers.0.self_attn.q_proj.weight"]],
    "diffusion model": [["joint_blocks.0.x_block.attn.qkv.weight"], ["down_blocks.0.resnets.0.conv1.weight"],
                        ["blocks.0.self_attn.q.weight", "patch_embedding.weight"], ["unet.down_blocks.0.resnets.0.x"]],
    "embedding": [["emb_params"], ["clip_g", "clip_l"]],
    "T2I-Adapter": [["body.0.block1.weight", "conv_in.weight"]],
}  # fmt: skip
FILES = [(name, keys) for name, keys in EXAMPLES.items()] + [(name, keys) for name in FURTHER for keys in FURTHER[name]]


def said(path):
    with pytest.raises(CheckpointError) as caught:
        recognise(read_header(path), path.name)
    return str(caught.value)


def test_every_row_has_an_example():
    """A row that nothing shows to work cannot be added."""
    assert list(EXAMPLES) == [row.name for row in ADAPTERS + OTHERS]


@pytest.mark.parametrize(("name", "keys"), FILES, ids=[f"{name}-{n}" for n, (name, _) in enumerate(FILES)])
def test_each_signature_gives_its_sentence(name, keys, tmp_path):
    """What it is, and where it belongs."""
    row = next(row for row in ADAPTERS + OTHERS if row.name == name)
    shapes = keys if isinstance(keys, dict) else dict.fromkeys(keys, (4, 4))
    expected = f"file.safetensors: is {row.what}, not an IP-Adapter that this pack loads; {row.then}"
    assert said(hollow_file(tmp_path / "file.safetensors", shapes)) == expected


def test_gguf_prompts_and_embeds(tmp_path):
    """Told by the container, the metadata and the lack of keys."""
    import torch

    (tmp_path / "model.gguf").write_bytes(b"GGUF\x03\x00\x00\x00" + bytes(64))
    assert "is a GGUF model; use the loader of the pack ComfyUI-GGUF" in said(tmp_path / "model.gguf")
    prompt = hollow_file(
        tmp_path / "p.safetensors", {"image.0.features.0": (1, 4)}, metadata={"format": "ipadapter-core image prompt 1"}
    )
    assert "is a saved image prompt; use Load Image Prompt" in said(prompt)
    torch.save(torch.zeros(1, 4), tmp_path / "e.ipadpt")
    assert "is embeds saved by ComfyUI_IPAdapter_plus" in said(tmp_path / "e.ipadpt")


def test_a_damaged_adapter_is_not_called_something_else(tmp_path):
    """Its own error stays: it has layers of ours and one that is cut."""
    layers = {key: shape for key, shape in KV.items() if key != "ip_adapter.1.to_k_ip.weight"}
    linear = {"image_proj.proj.weight": (16, 4), "image_proj.proj.bias": (16,), "image_proj.norm.weight": (4,),
              "image_proj.norm.bias": (4,)}  # fmt: skip
    assert "ip_adapter.1.to_k_ip.weight are missing" in said(hollow_file(tmp_path / "cut.safetensors", layers | linear))
