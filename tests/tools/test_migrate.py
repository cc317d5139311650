"""`dev.py migrate` on what people have: every release's ids and words, and files that are no plain workflow."""

import json

import pytest
from pack.nodes import NODES as NATIVE
from pack.nodes.compat import OLD_NODES
from pack.nodes.folders import register_folders
from pack.tools.migrate.main import main, migrate
from pack.tools.migrate.read import UnreadableFileError, read
from PIL import Image
from PIL.PngImagePlugin import PngInfo

pytestmark = [pytest.mark.catalogue, pytest.mark.tool]
register_folders()
OLD = {node.GET_SCHEMA().node_id for node in OLD_NODES}
INFO = {node.GET_SCHEMA().node_id: node.GET_NODE_INFO_V1() for node in NATIVE}


def link(name, slot=0):
    return [name, slot]


def prompt(kind="IPAdapterApply", **values):
    """A model, an adapter, an image, an encoder, an old node and whoever takes its model."""
    inputs = {"model": link("1"), "ipadapter": link("2"), "image": link("3"), "clip_vision": link("4"), "weight": 0.7}
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "x.safetensors"}},
        "2": {"class_type": "IPAdapterModelLoader", "inputs": {"ipadapter_file": "a.safetensors"}},
        "3": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
        "4": {"class_type": "CLIPVisionLoader", "inputs": {"clip_name": "h.safetensors"}},
        "5": {"class_type": kind, "inputs": inputs | values},
        "6": {"class_type": "KSampler", "inputs": {"model": link("5")}},
    }


def only(content, kind):
    """The inputs of the only node of a kind."""
    ((inputs),) = [entry["inputs"] for entry in content.values() if entry["class_type"] == kind]
    return inputs


SCALINGS = {"original": "V only", "linear": "K+V", "channel penalty": "K+mean(V) w/ C penalty"}


@pytest.mark.parametrize("word", SCALINGS)
def test_catalogue_first_ids_migrate_whole(word):
    found = migrate(prompt(weight_type=word, noise=0.0, start_at=0.1, end_at=0.9, unfold_batch=False))
    assert not found.stayed and not OLD & {entry["class_type"] for entry in found.content.values()}
    applied = only(found.content, "IPAdapterCoreApply")
    assert applied["embeds_scaling"] == SCALINGS[word] and applied["weight"] == 0.7 and applied["start_percent"] == 0.1
    assert applied["references"] == "together" and "layer_weights" not in applied
    batch = migrate(prompt(weight_type=word, noise=0, unfold_batch=True))
    assert only(batch.content, "IPAdapterCoreApply")["references"] == "one per frame"


@pytest.mark.parametrize(("second", "version"), [(True, "v2"), (False, "v1")])
def test_catalogue_first_faceid_migrates_with_its_version(second, version):
    """Its loader of face models as well."""
    values = {"insightface": link("7"), "noise": 0, "weight_type": "original", "unfold_batch": False}
    old = prompt("IPAdapterApplyFaceID", **values, faceid_v2=second, weight_v2=1.4)
    found = migrate(old | {"7": {"class_type": "InsightFaceLoader", "inputs": {"provider": "ROCM"}}})
    assert not found.stayed
    encoded = only(found.content, "IPAdapterCoreEncodeFace")
    assert encoded["plus_version"] == version and encoded["structure"] == 1.4
    assert only(found.content, "IPAdapterCoreLoadFaceAnalysis") == {"provider": "ROCm", "model_name": "buffalo_l"}


STAYS = {
    "noise": (prompt(noise=0.4, weight_type="original"), "its noise is 0.4"),
    "tiles": (prompt("IPAdapterTilesMasked", short_side_tiles=2), "Encode Tiled Reference is the nearest"),
    "encoded": (prompt("IPAdapterApplyEncoded", embeds=link("9")), "hold their negative"),
    "the first encoder": (
        {"1": {"class_type": "IPAdapterEncoder", "inputs": {"clip_vision": link("4"), "image_1": link("3")}},
         "2": {"class_type": "IPAdapterSaveEmbeds", "inputs": {"embeds": link("1"), "filename_prefix": "x"}}},
        "until March 2024 it had no ipadapter",
    ),
    "a word of no release": (prompt("IPAdapterAdvanced", weight_type="styl"), "found 'styl', expected one of linear"),
    "a first word of no release": (prompt(weight_type="styl"), "weight_type: found 'styl', expected one of original"),
    "a scaling of no release": (prompt("IPAdapterAdvanced", embeds_scaling="Q"), "embeds_scaling: found 'Q'"),
}  # fmt: skip


@pytest.mark.parametrize("name", STAYS)
def test_catalogue_what_cannot_migrate_is_said(name):
    """The node is left as it is, with the reason."""
    before, reason = STAYS[name]
    found = migrate(json.loads(json.dumps(before)))
    assert any(reason in line for line in found.stayed), found.stayed
    left = next(key for key, entry in before.items() if entry["class_type"] in OLD and key in ("5", "1"))
    assert found.content[left] == before[left]


RENAMED = {
    "style transfer (SDXL)": "style transfer",
    "composition (SDXL)": "composition",
    "style transfer and composition": "style and composition",
}


@pytest.mark.parametrize("word", RENAMED)
def test_catalogue_renamed_words_migrate(word):
    found = migrate(prompt("IPAdapterAdvanced", weight_type=word, combine_embeds="concat"))
    assert not found.stayed
    assert only(found.content, "IPAdapterCoreLayerWeights")["preset"] == RENAMED[word]


def test_catalogue_every_written_word_is_one_of_the_nodes():
    """Presets of no release are left alone."""
    loader = {"1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "x.safetensors"}},
              "2": {"class_type": "IPAdapterUnifiedLoader", "inputs": {"model": link("1"), "preset": "BEST"}},
              "6": {"class_type": "KSampler", "inputs": {"model": link("2")}}}  # fmt: skip
    found = migrate(json.loads(json.dumps(loader)))
    assert found.content == loader and any("preset: found 'BEST', expected one of" in line for line in found.stayed)
    linked = json.loads(json.dumps(loader)) | {"7": {"class_type": "PrimitiveString", "inputs": {"value": "PLUS"}}}
    linked["2"]["inputs"]["preset"] = link("7")
    assert any("preset is connected" in line for line in migrate(linked).stayed)
    embeds = {"1": {"class_type": "IPAdapterLoadEmbeds", "inputs": {"embeds": "a.ipadpt"}},
              "2": {"class_type": "IPAdapterCombineEmbeds", "inputs": {"embed1": link("1"), "method": "mix"}},
              "3": {"class_type": "IPAdapterSaveEmbeds", "inputs": {"embeds": link("2"), "filename_prefix": "x"}}}  # fmt: skip
    assert any("method: found 'mix'" in line for line in migrate(embeds).stayed)
    for kind in ("IPAdapterAdvanced", "IPAdapterTiled", "IPAdapterMS"):
        made = migrate(prompt(kind, weight_type="ease in", combine_embeds="average", sharpening=0.1)).content
        for entry in made.values():
            declared = INFO.get(entry["class_type"], {"input": {}})["input"]
            for section in declared.values():
                for name, (_, options, *_) in section.items():
                    value = entry["inputs"].get(name)
                    if "options" in options and isinstance(value, str) and name != "ip_adapter_name":
                        assert value in options["options"]


def test_catalogue_who_still_needs_a_node_is_named():
    found = migrate(prompt("IPAdapterAdvanced", weight_type="styl"))
    assert any("(node 2): IPAdapterAdvanced (node 5), which stays, still needs it" in line for line in found.stayed)


def written(path, content=None, **texts):
    """A PNG with texts inside, or a file with bytes or JSON."""
    if texts:
        info = PngInfo()
        for key, text in texts.items():
            info.add_text(key, json.dumps(text))
        Image.new("RGB", (8, 8)).save(path, pnginfo=info)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(json.dumps(content), encoding="utf-8")
    return path


WORKFLOW = {
    "nodes": [{"id": 1, "type": "Note", "pos": [0, 0], "widgets_values": ["hello"]}],
    "links": [],
    "version": 0.4,
}


def test_catalogue_images_and_requests_migrate(tmp_path, capsys):
    """From the image's workflow, else its prompt; a request keeps what is around the prompt."""
    both = written(tmp_path / "both.png", workflow=WORKFLOW, prompt=prompt())
    assert read(both).content["nodes"][0]["type"] == "Note"
    image = written(tmp_path / "image.png", prompt=prompt(weight_type="linear"))
    assert main([str(image)]) == 0
    made = json.loads((tmp_path / "image.native.json").read_text(encoding="utf-8"))
    assert "IPAdapterCoreApply" in {entry["class_type"] for entry in made.values()}
    request = written(tmp_path / "request.json", {"client_id": "me", "prompt": prompt(), "extra_data": {}})
    assert main([str(request)]) == 0
    made = json.loads((tmp_path / "request.native.json").read_text(encoding="utf-8"))
    assert made["client_id"] == "me" and "IPAdapterCoreApply" in {
        entry["class_type"] for entry in made["prompt"].values()
    }
    assert "changed: 2" in capsys.readouterr().out


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_catalogue_byte_order_marks_are_read(tmp_path, encoding):
    """Windows' editors write them."""
    path = tmp_path / "marked.json"
    path.write_bytes(json.dumps(prompt()).encode(encoding))
    assert read(path).content == prompt()


JPEG = b"\xff\xd8\xff\xe0broken"
REFUSED = {
    "a list": (b"[1, 2]", "found a list of 2"),
    "a number": (b"3", "found int"),
    "a text": (b'"workflow"', "found str"),
    "nothing": (b"{}", "found nothing in it"),
    "no JSON": (b"<html>", "found no JSON at line 1"),
    "no text": (b"\x00\x80\x81", "found no JSON"),
    "another object": (b'{"version": 1}', "found 'version', which is no node"),
    "a node without a kind": (b'{"1": {"inputs": {}}}', "found '1', which is no node"),
    "nodes of no kind": (b'{"nodes": [3]}', "found nodes without id or type"),
    "deep": (b"[" * 100_000, "found no JSON"),
    "a broken image": (JPEG, "found a damaged image"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_catalogue_what_is_no_workflow_is_refused_in_one_sentence(tmp_path, name, capsys):
    """Nothing is written."""
    data, reason = REFUSED[name]
    path = written(tmp_path / "it.json", data)
    assert main([str(path)]) == 1
    said = capsys.readouterr().err.strip()
    assert reason in said and said.startswith("it.json: ") and "\n" not in said and "expected a workflow" in said
    assert not (tmp_path / "it.native.json").exists()


def test_catalogue_images_without_a_workflow_are_refused(tmp_path):
    """Also a file that is not there."""
    with pytest.raises(UnreadableFileError, match="found an image without a workflow"):
        read(written(tmp_path / "plain.png", other={"a": 1}))
    with pytest.raises(UnreadableFileError, match="image.png: found a list of 1"):
        read(written(tmp_path / "image.png", prompt=[1]))
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        read(tmp_path / "missing.json")


def test_catalogue_a_node_without_inputs_is_read(tmp_path):
    """A prompt whose entry lacks them, a workflow without links."""
    path = written(tmp_path / "it.json", {"1": {"class_type": "PreviewImage"}})
    assert migrate(read(path).content).stayed == []
    bare = written(tmp_path / "bare.json", {"nodes": [{"id": 1, "type": "Note", "pos": [0, 0]}]})
    assert main([str(bare)]) == 0
