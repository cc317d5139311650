"""What krita-ai-diffusion (of 22 August 2026) asks a server for, and posts to it; see docs/compatibility.md."""

import pytest
from pack.tools.comfyui.api_prompt import node
from pack.tools.comfyui.server import ROOT
from pack.tools.demo.picture_grid import pixels

pytestmark = pytest.mark.catalogue

ADAPTER = "demo_world_ip_adapter.safetensors"
PICTURE = dict.fromkeys(("object_colour", "background_colour", "object_texture", "background_texture"), "any") | {
    "shape": "circle", "seed": 11, "size": 64, "batch_size": 1,
}  # fmt: skip


def options(info, kind, name):
    """How it reads a list of files: of either way that ComfyUI writes them."""
    kind_of, *rest = info[kind]["input"]["required"][name]
    return rest[0]["options"] if kind_of == "COMBO" else kind_of


def test_catalogue_krita_finds_the_nodes_and_files(client):
    """The two ids by which it tells whether the pack is there, and the list in which it looks for adapters."""
    info = client.object_info()
    assert {"IPAdapterModelLoader", "IPAdapter"} <= info.keys()
    assert ADAPTER in options(info, "IPAdapterModelLoader", "ipadapter_file")


def test_catalogue_krita_uses_inputs_that_there_are(client):
    """Every input of the five nodes that it writes."""
    info = client.object_info()
    written = {
        "IPAdapterModelLoader": {"ipadapter_file"},
        "IPAdapterInsightFaceLoader": {"provider", "model_name"},
        "IPAdapterEncoder": {"image", "weight", "ipadapter", "clip_vision"},
        "IPAdapterCombineEmbeds": {"method", *(f"embed{number}" for number in range(1, 6))},
        "IPAdapterEmbeds": {"model", "ipadapter", "pos_embed", "clip_vision", "weight", "weight_type", "embeds_scaling",
                            "start_at", "end_at", "attn_mask"},
        "IPAdapterFaceID": {"model", "ipadapter", "image", "clip_vision", "insightface", "weight", "weight_faceidv2",
                            "weight_type", "combine_embeds", "start_at", "end_at", "attn_mask", "embeds_scaling"},
    }  # fmt: skip
    for kind, names in written.items():
        declared = info[kind]["input"]
        required = declared.get("required", {})
        assert required.keys() <= names <= required.keys() | declared.get("optional", {}).keys(), kind
    assert "CPU" in options(info, "IPAdapterInsightFaceLoader", "provider")
    assert "buffalo_l" in options(info, "IPAdapterInsightFaceLoader", "model_name")


def graph(kind: str, mask: bool, pictures: int = 2) -> dict:
    """Its order of nodes: every reference encoded with its own strength, combined, applied once for each control mode."""
    prompt = {
        "1": {"class_type": "DemoWorldLoad", "inputs": {}},
        "2": {"class_type": "IPAdapterModelLoader", "inputs": {"ipadapter_file": ADAPTER}},
        "3": {"class_type": "DemoWorldPicture", "inputs": PICTURE},
        "6": {"class_type": "IPAdapterCombineEmbeds", "inputs": {"method": "concat", "embed1": ["41", 0], "embed2": ["42", 0]}},
        "7": {"class_type": "IPAdapterEmbeds", "inputs": {
            "model": ["1", 0], "ipadapter": ["2", 0], "pos_embed": ["6", 0] if pictures > 1 else ["41", 0],
            "clip_vision": ["1", 3], "weight": 1.0, "weight_type": kind, "embeds_scaling": "V only", "start_at": 0.0,
            "end_at": 1.0} | ({"attn_mask": ["3", 2]} if mask else {})},
        "8": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "a star"}},
        "9": {"class_type": "EmptyChromaRadianceLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "10": {"class_type": "KSampler", "inputs": {
            "model": ["7", 0], "seed": 1, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple",
            "positive": ["8", 0], "negative": ["8", 0], "latent_image": ["9", 0], "denoise": 1.0}},
        "11": {"class_type": "VAEDecode", "inputs": {"samples": ["10", 0], "vae": ["1", 2]}},
        "12": {"class_type": "SaveImage", "inputs": {"images": ["11", 0], "filename_prefix": "krita"}},
    }  # fmt: skip
    for number, weight in (("41", 0.8), ("42", 0.5)):
        inputs = {"image": ["3", 0], "weight": weight, "ipadapter": ["2", 0], "clip_vision": ["1", 3]}
        prompt[number] = {"class_type": "IPAdapterEncoder", "inputs": inputs}
    return prompt


def picture(client, prompt) -> bytes:
    return pixels(client.picture(client.run(prompt)[node(prompt, "SaveImage")]["images"][0])).tobytes()


@pytest.mark.parametrize("kind", ["linear", "style transfer", "composition"])
def test_catalogue_krita_references_run(client, kind):
    """Its three control modes; two references, and one confined to a region."""
    prompt = graph(kind, mask=False)
    bare = graph(kind, mask=False)
    bare["10"]["inputs"]["model"] = ["1", 0]
    made = [picture(client, one) for one in (prompt, graph(kind, mask=True), graph(kind, mask=False, pictures=1), bare)]
    assert len(set(made)) == 4


def test_catalogue_krita_expectations_are_listed():
    """Each line of the page names a test that there is."""
    import re

    text = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+)`", text)
    sources = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "tests").rglob("test_*.py"))
    assert named and all(f"def {name}(" in sources for name in named)
