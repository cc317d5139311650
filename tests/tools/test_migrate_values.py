"""`dev.py migrate`: what becomes of values and links, in both formats, without a server."""

import copy
import json

import pytest
from pack.ipadapter_core.weights.layer_presets import LayerPreset
from pack.ipadapter_core.weights.layer_weights import LayerWeights
from pack.ipadapter_core.weights.parsing import read_overrides
from pack.nodes import NODES as NATIVE
from pack.nodes.compat import OLD_NODES
from pack.nodes.folders import register_folders
from pack.tests.oracles.ipadapter_plus_nodes import WEIGHT_TYPES
from pack.tests.oracles.weight_types import BOOST, CORRECTED, W, blocks_of, stated
from pack.tools.migrate.graph_file import LINK
from pack.tools.migrate.main import main, migrate
from pack.tools.miniature.models import tiny_model
from pack.tools.workflows.graph import Graph

pytestmark = [pytest.mark.catalogue, pytest.mark.tool]

register_folders()
INFO = {node.GET_SCHEMA().node_id: node.GET_NODE_INFO_V1() for node in (*NATIVE, *OLD_NODES)}
VALUES = {"weight": W, "combine_embeds": "concat", "start_at": 0.1, "end_at": 0.9, "embeds_scaling": "K+V"}


def link(name, slot=0):
    return [name, slot]


def prompt(kind="IPAdapterAdvanced", **values):
    """A checkpoint, an old loader, an old node and whoever takes its model."""
    inputs = (
        {"model": link("1"), "ipadapter": link("2"), "image": link("3"), "clip_vision": link("4")} | VALUES | values
    )
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "x.safetensors"}},
        "2": {"class_type": "IPAdapterModelLoader", "inputs": {"ipadapter_file": "a.safetensors"}},
        "3": {"class_type": "LoadImage", "inputs": {"image": "x.png"}},
        "4": {"class_type": "CLIPVisionLoader", "inputs": {"clip_name": "h.safetensors"}},
        "5": {"class_type": kind, "inputs": inputs},
        "6": {"class_type": "KSampler", "inputs": {"model": link("5")}},
    }


def only(content, kind):
    """The only node of a kind: its name and its inputs."""
    ((name, entry),) = [(name, entry) for name, entry in content.items() if entry["class_type"] == kind]
    return name, entry["inputs"]


def layers(content, base):
    """What the migrated nodes do at each layer: positive, negative."""
    blocks, running = blocks_of(tiny_model(base))
    _, applied = only(content, "IPAdapterCoreApply")
    weights = LayerWeights()
    if "layer_weights" in applied:
        _, made = only(content, "IPAdapterCoreLayerWeights")
        weights = LayerWeights(LayerPreset(made["preset"]), 1.0, made["second_weight"], read_overrides(made["blocks"]))
    found = [
        (one.positive * applied["weight"], one.negative * applied["weight"]) for one in weights.resolve(tuple(blocks))
    ]
    return found, running


@pytest.mark.parametrize("base", ["SD1.5", "SDXL"])
@pytest.mark.parametrize("kind", WEIGHT_TYPES)
def test_catalogue_migrated_weight_types_do_the_same(kind, base):
    found, running = layers(migrate(prompt(weight_type=kind)).content, base)
    expected = stated(kind, base, CORRECTED)
    for (positive, negative), t in zip(found, running, strict=True):
        assert (positive, negative) == pytest.approx(expected[t][:2], abs=1e-5), t


def test_catalogue_migrated_boosts_and_blocks():
    """Second weights become shares; blocks by index stay a text."""
    content = migrate(prompt("IPAdapterPreciseStyleTransfer", style_boost=BOOST)).content
    found, running = layers(content, "SDXL")
    expected = stated("style transfer precise", "SDXL", CORRECTED, boost=BOOST)
    assert all(pair == pytest.approx(expected[t][:2], abs=1e-5) for pair, t in zip(found, running, strict=True))
    content = migrate(prompt("IPAdapterMS", weight_type="ease in", layer_weights="3: 1, 6: 0.5")).content
    found, running = layers(content, "SDXL")
    assert [pair[0] for pair in found] == pytest.approx([{3: W, 6: 0.5 * W}.get(t, 0) for t in running])


def test_catalogue_migrated_values_and_links():
    """Each input arrives where it belongs."""
    found = migrate(prompt(weight_type="linear", attn_mask=link("3", 1), image_negative=link("3")))
    assert not found.stayed and len(found.changed) == 2
    encoder, encode = only(found.content, "IPAdapterCoreEncode")
    applied, values = only(found.content, "IPAdapterCoreApply")
    loader, loaded = only(found.content, "IPAdapterCoreLoad")
    assert loaded == {"ip_adapter_name": "a.safetensors"}
    assert encode == {"ip_adapter": link(loader), "image": link("3"), "clip_vision": link("4"), "fit": "center",
                      "sharpening": 0.0, "negative_image": link("3")}  # fmt: skip
    assert values == {
        "model": link("1"), "ip_adapter": link(loader), "image_prompt": link(encoder), "weight": W, "start_percent": 0.1,
        "end_percent": 0.9, "mask": link("3", 1), "embeds_scaling": "K+V", "references": "together",
    }  # fmt: skip
    assert found.content["6"]["inputs"]["model"] == link(applied)
    assert not {"2", "5"} & found.content.keys()
    batch = only(migrate(prompt("IPAdapterBatch", weight_type="linear")).content, "IPAdapterCoreApply")[1]
    assert batch["references"] == "one per frame"


def test_catalogue_migrated_files_declare_what_they_use():
    """Every value of a new node is one that it has; each needed input is there."""
    found = migrate(prompt(weight_type="composition", combine_embeds="average")).content.values()
    ours = [entry for entry in found if entry["class_type"] in INFO]
    assert len({entry["class_type"] for entry in ours}) >= 3
    for entry in ours:
        declared = INFO[entry["class_type"]]["input"]
        names = {name.partition(".")[0] for name in entry["inputs"]}
        assert declared.get("required", {}).keys() <= names
        assert names <= declared.get("required", {}).keys() | declared.get("optional", {}).keys()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"results": "as IPAdapter_plus"}, "only the old nodes give"),
        ({"weight_type": link("9")}, "weight_type is connected"),
        ({"weight_type": "style and composition", "weight": 0.1}, "second weight is 1.0"),
        ({"ipadapter": link("3")}, "comes from LoadImage"),
    ],
)
def test_catalogue_what_cannot_be_migrated_is_left_alone(change, reason):
    """Node, links and values as they were."""
    before = prompt(**{"weight_type": "linear"} | change)
    found = migrate(copy.deepcopy(before))
    assert any(reason in line for line in found.stayed)
    assert found.content["5"] == before["5"] and found.content["6"] == before["6"]
    if "ipadapter" not in change:
        assert found.content["2"] == before["2"] and any(
            "(node 2): IPAdapterAdvanced (node 5), which stays, still needs it" in line for line in found.stayed
        )


def workflow() -> dict:
    """The same as a file of the browser, with a reroute in the adapter's way."""
    graph = Graph()
    nodes = {}
    for name, entry in prompt(weight_type="ease out").items():
        given = entry["inputs"].items()
        inputs = {key: nodes[one[0]][one[1]] if isinstance(one, list) else one for key, one in given}
        nodes[name] = graph.add(entry["class_type"], **inputs)
    foreign = {
        "CheckpointLoaderSimple": {"input": {"required": {"ckpt_name": (["x.safetensors"],)}}, "output": ["MODEL"]},
        "LoadImage": {"input": {"required": {"image": (["x.png"],)}}, "output": ["IMAGE"]},
        "CLIPVisionLoader": {"input": {"required": {"clip_name": (["h.safetensors"],)}}, "output": ["CLIP_VISION"]},
        "KSampler": {"input": {"required": {"model": ("MODEL",)}}, "output": []},
    }
    content = graph.workflow(INFO | {name: one | {"output_name": one["output"]} for name, one in foreign.items()})
    (adapter,) = [link for link in content["links"] if link[5] == "IPADAPTER"]
    content["nodes"].append({"id": 70, "type": "Reroute", "pos": [0, 0], "inputs": [{"name": "", "type": "*", "link": 99}],
                             "outputs": [{"name": "", "type": "IPADAPTER", "links": [adapter[0]]}]})  # fmt: skip
    content["links"].append([99, 2, 0, 70, 0, "IPADAPTER"])
    content["nodes"][1]["outputs"][0]["links"] = [99]
    adapter[1] = 70
    return content


def check_links(content: dict) -> None:
    """Each link is known at both of its ends, by its number, and by nobody else."""
    nodes = {node["id"]: node for node in content["nodes"]}
    rows = [list(link.values()) if isinstance(link, dict) else link for link in content["links"]]
    assert len({row[0] for row in rows}) == len(rows)
    for number, origin, origin_slot, target, target_slot, kind in rows:
        if origin > 0:
            output = nodes[origin]["outputs"][origin_slot]
            assert number in output["links"] and output["type"] == kind
        if target > 0:
            assert nodes[target]["inputs"][target_slot]["link"] == number
    held = [
        slot["link"] for node in content["nodes"] for slot in node.get("inputs") or () if slot.get("link") is not None
    ]
    assert sorted(held) == sorted(row[0] for row in rows if row[3] > 0)


def test_catalogue_migrated_workflow_file():
    """New nodes stand near the old ones, everything else is as it was."""
    before = workflow()
    check_links(before)
    found = migrate(copy.deepcopy(before))
    check_links(found.content)
    kinds = [node["type"] for node in found.content["nodes"]]
    assert not found.stayed and "IPAdapterAdvanced" not in kinds and kinds.count("IPAdapterCoreApply") == 1
    kept = {node["id"]: node for node in before["nodes"]}
    assert all(node["pos"] == kept[node["id"]]["pos"] for node in found.content["nodes"] if node["id"] in kept)
    assert found.content["last_node_id"] >= max(node["id"] for node in found.content["nodes"])


def test_catalogue_muted_nodes_stay():
    """As they are, with their loader."""
    before = workflow()
    before["nodes"][4]["mode"] = 4
    found = migrate(copy.deepcopy(before))
    assert any("muted or bypassed" in line for line in found.stayed)
    check_links(found.content)
    assert {node["type"] for node in before["nodes"]} <= {node["type"] for node in found.content["nodes"]}


def test_catalogue_subgraphs_are_migrated():
    """Their ends keep their links."""
    inner = workflow()
    sampler = next(node for node in inner["nodes"] if node["type"] == "KSampler")
    leaving = sampler["inputs"][0]["link"]
    rows = [dict(zip(LINK, row, strict=True)) for row in inner["links"]]
    for row in rows:
        if row["id"] == leaving:
            row["target_id"], row["target_slot"] = -20, 0
        if row["origin_id"] == 1:
            row["origin_id"], row["origin_slot"] = -10, 0
    entering = next(row["id"] for row in rows if row["origin_id"] == -10)
    inner["nodes"] = [node for node in inner["nodes"] if node["type"] not in ("KSampler", "CheckpointLoaderSimple")]
    inner |= {"links": rows, "id": "x", "inputNode": {}, "outputNode": {}}
    inner |= {
        "inputs": [{"name": "model", "linkIds": [entering]}],
        "outputs": [{"name": "model", "linkIds": [leaving]}],
    }
    found = migrate({"nodes": [], "links": [], "version": 0.4, "definitions": {"subgraphs": [inner]}})
    (made,) = found.content["definitions"]["subgraphs"]
    check_links(made)
    assert not found.stayed and made["outputs"][0]["linkIds"] == [leaving]
    (out,) = [row for row in made["links"] if row["target_id"] == -20]
    (into,) = [row for row in made["links"] if row["origin_id"] == -10]
    nodes = {node["id"]: node for node in made["nodes"]}
    assert nodes[out["origin_id"]]["type"] == nodes[into["target_id"]]["type"] == "IPAdapterCoreApply"
    assert made["inputs"][0]["linkIds"] == [into["id"]]


def test_catalogue_migrate_on_the_command_line(tmp_path, capsys):
    """The file that was given stays; what happened is said."""
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(prompt(weight_type="linear", results="as IPAdapter_plus")))
    before = file.read_text()
    assert main([str(file)]) == 0
    said = capsys.readouterr().out
    assert file.read_text() == before and (tmp_path / "mine.native.json").is_file()
    assert "could not be changed: 2" in said and "only the old nodes give" in said and "mine.native.json" in said
