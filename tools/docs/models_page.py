"""`docs/models.md`: every supported file, with what the pack finds in it and where it is published."""

from pathlib import Path
from typing import NamedTuple

from ...ipadapter_core.checkpoint.detect import detect
from ...ipadapter_core.checkpoint.key_names import canonical_names
from ...ipadapter_core.checkpoint.spec import AdapterSpec, Shapes
from ...ipadapter_core.encoders.features import encode_node
from ...ipadapter_core.presets.catalogue import ENCODER_FILES, Published
from ...ipadapter_core.presets.licences import UNREAD, licence
from ..environment import ROOT
from ..workflows import instant_character, pulid
from ..workflows import transformers as graphs

PAGE = ROOT / "docs" / "models.md"
PLAIN, FACES, OSTRIS = "h94/IP-Adapter", "h94/IP-Adapter-FaceID", "ostris/ip-composition-adapter"
PULID, LYNX = "guozinan/PuLID", "ByteDance/lynx"
HEAD = """# Supported files

Files are recognised by their tensors, whatever their names, as `.safetensors` or `.bin`: finetunes of these layouts work like
their originals, and so do checkpoints as training scripts leave them. `python3 dev.py identify FILE...` says what any file is.
The columns are what *Load IP-Adapter* finds in each layout. Adapters belong into `models/ipadapter`. InstantX' SD3.5 adapter is
read under diffusers' names, too (`ip-adapter_diffusers.safetensors`).

The licence is that of the weights in the publisher's words, and *not stated here* says that nobody has read them for this
page: look at the file's own. The licences of the base model, the image encoder and the face models hold beside it.
"""
ENCODERS_HEAD = """## Image encoders

They belong into `models/clip_vision`, under the names given here or any other. An adapter that was trained on larger squares
than its encoder's own wants that `size` on its encode node, an advanced input: 448 for the
[finetune of SDXL's plus adapter for NoobAI](https://civitai.com/models/1233692) on CLIP ViT-bigG/14, and 224 to 2048 as you
like for Anima by LuciferTC on SigLIP2.
"""
TAIL = """## Face models

`buffalo_l` (FaceID, FaceID Plus, Portrait) and `antelopev2` (InstantID, Kolors FaceID, PuLID) are folders in
`models/insightface/models`: unpack the zip files of [insightface's releases](https://github.com/deepinsight/insightface/releases/tag/v0.7)
there. The Python package `onnxruntime` is needed, `insightface` is not.

PuLID also wants a face parser: [parsing_bisenet.pth](https://github.com/xinntao/facexlib/releases/download/v0.2.0/parsing_bisenet.pth)
in `models/facexlib`; BiSeNet for faces as `.safetensors`, `.pt` or `.onnx` does as well. Lynx knows faces by
[recognition_arcface_ir_se50.pth](https://github.com/xinntao/facexlib/releases/download/v0.1.0/recognition_arcface_ir_se50.pth)
in the same folder, beside either set. Nothing is downloaded by the nodes.

## Adapters in two files

Lynx for Wan is published as `ip_layers.safetensors` and `resampler.safetensors` in a folder for each kind: put both, in that
folder (`lynx_lite`, `lynx_full`), into `models/ipadapter` and choose the layers in *Load IP-Adapter*. It takes the resampler
that fits, or the one that you choose in `resampler_name`. The same files as
[Kijai](https://huggingface.co/Kijai/WanVideo_comfy/tree/main/Lynx) names them are read, too (`lynx_lite_resampler_fp32`,
`Wan2_1-T2V-14B-Lynx_lite_ip_layers_fp16`). Lynx full also has `ref_layers.safetensors`, which are not read: its other layers
act without them.

## Models without weights

Nobody has published IP-Adapter weights for Qwen-Image, Z-Image, FLUX.2 and Krea 2, and for Wan only for its models with 14B
parameters; *Apply IP-Adapter* says so, and names what ComfyUI has instead.
"""


class Row(NamedTuple):
    """A published file: the layout that it has (a name in the tests' tables), its place, and what it takes from an image."""

    layout: str
    file: Published
    takes: str


def _dit(entry: dict[str, str]) -> Published:
    """A file of a workflow in `workflows/`."""
    repository, _, file = entry["url"].removeprefix("https://huggingface.co/").partition("/resolve/main/")
    return Published(repository, file, entry["directory"], entry["name"])


PLUS_SDXL = "sdxl_models/ip-adapter-plus_sdxl_vit-h.safetensors"

ROWS = (
    Row("ip-adapter_sd15", Published(PLAIN, "models/ip-adapter_sd15.safetensors"), "the image, loosely"),
    Row("ip-adapter_sd15_light", Published(PLAIN, "models/ip-adapter_sd15_light_v11.bin"), "the image, very loosely"),
    Row("ip-adapter_sd15_vit-G", Published(PLAIN, "models/ip-adapter_sd15_vit-G.safetensors"), "the image, loosely"),
    Row("ip-adapter-plus_sd15", Published(PLAIN, "models/ip-adapter-plus_sd15.safetensors"), "the image, closely"),
    Row("ip-adapter-plus-face_sd15", Published(PLAIN, "models/ip-adapter-plus-face_sd15.safetensors"), "a face"),
    Row("ip-adapter-full-face_sd15", Published(PLAIN, "models/ip-adapter-full-face_sd15.safetensors"), "a face, closely"),
    Row("ip_plus_composition_sd15", Published(OSTRIS, "ip_plus_composition_sd15.safetensors"), "the layout alone"),
    Row("ip-adapter_sdxl", Published(PLAIN, "sdxl_models/ip-adapter_sdxl.safetensors"), "the image, loosely"),
    Row("ip-adapter_sdxl_vit-h", Published(PLAIN, "sdxl_models/ip-adapter_sdxl_vit-h.safetensors"), "the image, loosely"),
    Row("ip-adapter-plus_sdxl_vit-h", Published(PLAIN, PLUS_SDXL), "the image, closely"),
    Row("ip-adapter-plus_sdxl_vit-h", Published(PLAIN, "sdxl_models/ip-adapter-plus-face_sdxl_vit-h.safetensors"), "a face"),
    Row("ip_plus_composition_sdxl", Published(OSTRIS, "ip_plus_composition_sdxl.safetensors"), "the layout alone"),
    Row("faceid_sd15", Published(FACES, "ip-adapter-faceid_sd15.bin"), "who it is"),
    Row("faceid_sdxl", Published(FACES, "ip-adapter-faceid_sdxl.bin"), "who it is"),
    Row("plusv2_sd15", Published(FACES, "ip-adapter-faceid-plus_sd15.bin"), "who it is, and the look of the face"),
    Row("plusv2_sd15", Published(FACES, "ip-adapter-faceid-plusv2_sd15.bin"), "who it is, and the look of the face"),
    Row("plusv2_sdxl", Published(FACES, "ip-adapter-faceid-plusv2_sdxl.bin"), "who it is, and the look of the face"),
    Row("portrait_sd15", Published(FACES, "ip-adapter-faceid-portrait-v11_sd15.bin"), "who it is, several images"),
    Row("portrait_sdxl", Published(FACES, "ip-adapter-faceid-portrait_sdxl.bin"), "who it is, several images"),
    Row("instantid", Published(FACES, "ip-adapter-faceid-portrait_sdxl_unnorm.bin"), "who it is"),
    Row("instantid", Published("InstantX/InstantID", "ip-adapter.bin", name="instantid-ip-adapter.bin"), "who it is"),
    Row("kolors_plus", Published("Kwai-Kolors/Kolors-IP-Adapter-Plus", "ip_adapter_plus_general.bin"), "the image, closely"),
    Row("kolors_faceid", Published("Kwai-Kolors/Kolors-IP-Adapter-FaceID-Plus", "ipa-faceid-plus.bin"), "who it is"),
    Row("id_animator", Published("spaces/ID-Animator/ID-Animator", "animator.ckpt"), "a face, closely, for AnimateDiff"),
    Row("pulid_v1", Published(PULID, "pulid_v1.bin"), "who it is, and the look of the face"),
    Row("pulid_v1_renamed", Published("huchenlei/ipadapter_pulid", "ip-adapter_pulid_sdxl_fp16.safetensors"),
        "the same, under other names"),
    Row("pulid_v1.1", _dit(pulid.PULID_SDXL), "who it is, and the look of the face"),
    Row("instruct_sd15", Published("CiaraRowles/IP-Adapter-Instruct", ""), "what a sentence says"),
    Row("instruct_sdxl", Published("CiaraRowles/IP-Adapter-Instruct", ""), "what a sentence says"),
    Row("art", Published("AisingioroHao0/IP-Adapter-Art", ""), "the style of a painting"),
    Row("csgo", Published("InstantX/CSGO", "csgo.bin"), "the content of one image, the style of another"),
    Row("XLabs v1", Published("XLabs-AI/flux-ip-adapter", "ip_adapter.safetensors", name="flux-ip-adapter.safetensors"),
        "the image, loosely"),
    Row("XLabs v2", _dit(graphs.XLABS), "the image, closely"),
    Row("InstantX FLUX", _dit(graphs.INSTANTX_FLUX), "the image, closely"),
    Row("InstantX SD3.5", _dit(graphs.INSTANTX_SD35), "the image, closely"),
    Row("InstantCharacter", _dit(instant_character.CHARACTER), "a character, closely"),
    Row("PuLID FLUX", Published(PULID, "pulid_flux_v0.9.0.safetensors"), "who it is, and the look of the face"),
    Row("PuLID FLUX", Published(PULID, "pulid_flux_v0.9.1.safetensors"), "who it is, and the look of the face"),
    Row("Lynx lite", Published(LYNX, "lynx_lite/ip_layers.safetensors"), "who it is"),
    Row("Lynx full", Published(LYNX, "lynx_full/ip_layers.safetensors"), "who it is"),
    Row("LuciferTC", _dit(graphs.LUCIFER), "a character"),
)  # fmt: skip


def pages() -> dict[Path, str]:
    """The page with its text."""
    shapes = layouts()
    table = ["| File | Takes | Model | Kind | Tokens | Image encoder | Encode with | Licence |", "| --- " * 8 + "|"]
    table += [_line(row, detect(shapes[row.layout], row.layout)) for row in ROWS]
    return {PAGE: "\n".join([HEAD, *table, "", ENCODERS_HEAD, *_encoders(), "", TAIL])}


def layouts() -> dict[str, Shapes]:
    """Key names and shapes of the published layouts, by the names that the tests give them."""
    from ..miniature import published_faces, published_transformers
    from ..miniature import published_shapes as published

    known = {name: one.shapes for name, one in published.PUBLISHED.items()}
    known["ip-adapter-plus-face_sd15"] = known["ip-adapter-plus_sd15"]
    known |= {name: entry[0] for name, entry in published_faces.PUBLISHED.items()}
    known |= {name: entry[0] for name, entry in published_transformers.FILES.items()}
    known["art"] = published_faces.art_shapes()
    return {name: {new: shapes[old] for old, new in canonical_names(shapes).items()} for name, shapes in known.items()}


def _line(row: Row, spec: AdapterSpec) -> str:
    tokens = str(spec.projector.tokens or "one for each patch")
    node = encode_node(spec)
    found = (spec.base.value, spec.format, tokens, spec.encoder, node)
    return "| " + " | ".join((_link(row.file), row.takes, *found, licence(row.file.repository))) + " |"


def _link(file: Published) -> str:
    hub = f"https://huggingface.co/{file.repository}"
    if not file.file:
        return f"[{file.repository}]({hub})"
    own = file.file.rsplit("/", 1)[-1]
    said = f", save as `{file.name}`" if file.name and file.name != own else ""
    return f"[{own}]({hub}/blob/main/{file.file}){said}"


def _encoders() -> list[str]:
    """CLIP from the presets' table, SigLIP from the workflows'."""
    files = {sizes.name: file for sizes, file in ENCODER_FILES}
    files |= {"CLIP ViT-L/14": _dit(graphs.CLIP_L), "SigLIP-so400m-384": _dit(graphs.SIGLIP)}
    files |= {"SigLIP2-base-512": _dit(graphs.SIGLIP2), "EVA02-CLIP-L/14-336": _dit(pulid.EVA)}
    files |= {"DINOv2-giant": _dit(instant_character.DINO)}
    lines = [f"| {name} | {_link(file)} | {licence(file.repository)} |" for name, file in files.items()]
    return [
        "| Encoder | File | Licence |",
        "| --- | --- | --- |",
        *lines,
        f"| CSD ViT-L | [learn2phoenix/CSD](https://github.com/learn2phoenix/CSD) | {UNREAD} |",
    ]
