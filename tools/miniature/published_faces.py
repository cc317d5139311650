"""Keys and shapes of the published face, style and instruction adapters."""

from pack.tools.miniature.faces import affine, norm, perceiver_layer
from pack.tools.miniature.pulid import id_former
from pack.tools.miniature.pulid_sdxl import id_encoder, pulid_v1, pulid_v1_1

SD15 = [320, 320, 640, 640, 1280, 1280, 1280, 1280, 1280, 640, 640, 640, 320, 320, 320, 1280]


SDXL = [640] * 4 + [1280] * 20 + [1280] * 30 + [640] * 6 + [1280] * 10


def layers(widths, context, lora=False):
    """Attention weights, and the LoRA of FaceID files."""
    shapes = {}
    for i, width in enumerate(widths):
        shapes |= {f"ip_adapter.{2 * i + 1}.to_{part}_ip.weight": (width, context) for part in "kv"}
        for number, source in ((2 * i, width), (2 * i + 1, context)) if lora else ():
            for part in ("q", "k", "v", "out"):
                down = source if part in "kv" else width
                shapes[f"ip_adapter.{number}.to_{part}_lora.down.weight"] = (128, down)
                shapes[f"ip_adapter.{number}.to_{part}_lora.up.weight"] = (width, 128)
    return shapes


def face(context, tokens):
    return {**affine("proj.0", 1024, 512), **affine("proj.2", tokens * context, 1024), **norm("norm", context)}


def resampler(width, inner, feature, context, tokens=16, depth=4):
    shapes = {"latents": (1, tokens, width), **affine("proj_in", width, feature), **affine("proj_out", context, width),
              **norm("norm_out", context)}  # fmt: skip
    for i in range(depth):
        shapes |= perceiver_layer(f"layers.{i}", width, inner)
    return shapes


def face_plus(context, tokens, picture):
    inner = {**affine("proj_in", context, picture), **affine("proj_out", context, context), **norm("norm_out", context)}
    for i in range(4):
        inner |= perceiver_layer(f"layers.{i}", context, context)
    return face(context, tokens) | {f"perceiver_resampler.{key}": shape for key, shape in inner.items()}


def instruct(width, inner, context, text=768):
    shapes = resampler(width, inner, 1280, context)
    shapes |= affine("proj_new_input", width, text) | affine("proj_prompt_input", width, text)
    for i in range(4):
        for name in ("prompt_layers", "new_input_layers"):
            shapes |= perceiver_layer(f"{name}.{i}", width, inner, 2)
    return shapes


def projector(shapes):
    return {f"image_proj.{key}": shape for key, shape in shapes.items()}


def animator():
    """ID-Animator: a plus adapter and a LoRA on cross-attention alone, under its own names."""
    shapes = {f"image_proj_model.{key}": shape for key, shape in resampler(768, 768, 1280, 768).items()}
    for key, shape in layers(SD15, 768, True).items():
        if int(key.split(".")[1]) % 2:
            shapes[key.replace("ip_adapter.", "adapter_modules.").replace("_ip.", "_face.")] = shape
    return {f"module.{key}": shape for key, shape in shapes.items()}


CSGO = {f"{part}_image_proj.{key}": shape for part, tokens in (("content", 4), ("style", 16))
        for key, shape in resampler(2048, 768, 1664, 2048, tokens).items()}  # fmt: skip


ID_ENCODER, ID_FORMER = id_encoder(2048, 1024, 1280, 1024), id_former(2048, 1024, 32, 1280, 1024)


PUBLISHED = {  # millions of parameters, LoRA included, as the files' sizes say
    "faceid_sd15": (projector(face(768, 4)) | layers(SD15, 768, True), "FaceID", "SD1.5", 4, 48.35),
    "faceid_sdxl": (projector(face(2048, 4)) | layers(SDXL, 2048, True), "FaceID", "SDXL", 4, 535.5),
    "plusv2_sd15": (projector(face_plus(768, 4, 1280)) | layers(SD15, 768, True), "FaceID Plus or Plus V2", "SD1.5", 4, 78.3),
    "plusv2_sdxl": (projector(face_plus(2048, 4, 1280)) | layers(SDXL, 2048, True), "FaceID Plus or Plus V2", "SDXL", 4, 743.7),
    "portrait_sd15": (projector(face(768, 16)) | layers(SD15, 768), "FaceID Portrait", "SD1.5", 16, 32.3),
    "portrait_sdxl": (projector(face(2048, 16)) | layers(SDXL, 2048), "FaceID Portrait", "SDXL", 16, 374.9),
    "instantid": (projector(resampler(1280, 1280, 512, 2048)) | layers(SDXL, 2048), "FaceID Portrait unnorm or InstantID",
                  "SDXL", 16, 422.77),
    "kolors_plus": (projector(resampler(2048, 768, 1024, 2048)) | layers(SDXL, 2048), "plus", "Kolors", 16, 506.55),
    "kolors_faceid": (projector(face_plus(4096, 6, 1024)) | layers(SDXL, 2048), "FaceID Plus", "Kolors", 6, 1192.9),
    "instruct_sd15": (projector(instruct(768, 768, 768)) | layers(SD15, 768), "IP-Adapter-Instruct", "SD1.5", 16, None),
    "instruct_sdxl": (projector(instruct(1280, 1280, 2048)) | layers(SDXL, 2048), "IP-Adapter-Instruct", "SDXL", 16, None),
    "id_animator": (animator(), "plus", "SD1.5", 16, None),
    "pulid_v1": (pulid_v1(SDXL, 2048, ID_ENCODER), "PuLID v1", "SDXL", 10, 395.7),
    "pulid_v1_renamed": (projector(ID_ENCODER) | layers(SDXL, 2048), "PuLID v1", "SDXL", 10, 395.7),
    "pulid_v1.1": (pulid_v1_1(SDXL, 2048, ID_FORMER), "PuLID v1.1", "SDXL", 32, 492.19),
    "csgo": (CSGO | layers(SDXL[:60], 2048), "CSGO", "SDXL", 20, None),
}  # fmt: skip


def art_shapes():
    """IP-Adapter-Art under diffusers' names; the middle block's widths tell where it ends up."""
    names = [(f"{part}.attentions.{a}.transformer_blocks.{d}", width)
             for part, blocks, depth, width in (("down_blocks.1", 2, 2, 640), ("down_blocks.2", 2, 10, 1280),
                                                ("mid_block", 1, 10, 7), ("up_blocks.0", 3, 10, 1280),
                                                ("up_blocks.1", 3, 2, 640))
             for a in range(blocks) for d in range(depth)]  # fmt: skip
    shapes = {f"{name}.attn2.processor.to_{part}_ip.0.weight": (width, 2048) for name, width in names for part in "kv"}
    under = "encoder_hid_proj.image_projection_layers.0."
    return shapes | {
        f"{under}{key}": shape for key, shape in {**affine("image_embeds", 8192, 768), **norm("norm", 2048)}.items()
    }
