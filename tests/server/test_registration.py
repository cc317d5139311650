"""Old ids stay with whoever else registers them, whichever pack loads first, in a real server."""

import os
import re
import sys
from pathlib import Path

import pytest
from pack.nodes.compat import SWITCH
from pack.nodes.compat.replacements import REPLACEMENTS
from pack.tests.oracles.ipadapter_plus_nodes import NODES
from pack.tools.comfyui.client import ComfyClient
from pack.tools.comfyui.server import PACK, ROOT, ComfyServer, Mounts

import nodes as comfyui_nodes

pytestmark = pytest.mark.catalogue

COMFYUI = Path(os.environ["COMFYUI_PATH"])
CLASSES = """
from comfy_api.latest import ComfyExtension, io

class Passes:
    RETURN_TYPES, FUNCTION, CATEGORY = ("MODEL",), "run", "elsewhere"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",)}}

    def run(self, model):
        return (model,)

def passes(name):
    class PassesToo(io.ComfyNode):
        @classmethod
        def define_schema(cls):
            return io.Schema(name, "Elsewhere", "elsewhere", inputs=[io.Model.Input("model")], outputs=[io.Model.Output()])

        @classmethod
        def execute(cls, model):
            return io.NodeOutput(model)

    return PassesToo
"""
V1 = (
    CLASSES
    + """
NODE_CLASS_MAPPINGS = {name: Passes for name in IDS}
NODE_DISPLAY_NAME_MAPPINGS = {name: "Elsewhere" for name in IDS}
"""
)
V3 = (
    CLASSES
    + """
class Extension(ComfyExtension):
    async def get_node_list(self):
        return [passes(name) for name in IDS]

async def comfy_entrypoint():
    return Extension()
"""
)
BEFORE, BEHIND = ("IPAdapter", "IPAdapterAdvanced"), ("IPAdapterBatch", "IPAdapterTiled", "IPAdapterNoise")


def pack(folder: Path, name: str, source: str, ids: tuple[str, ...]) -> Path:
    """A stand-in for another pack that has some of the ids."""
    place = folder / name
    place.mkdir(parents=True)
    (place / "__init__.py").write_text(f"IDS = {ids!r}\n{source}")
    return place


def mounted(tmp_path: Path, before: str, behind: str) -> Mounts:
    """Three folders of custom nodes, which ComfyUI reads one after the other: another pack, ours, and one more."""
    ours, last = tmp_path / "ours", tmp_path / "last"
    ours.mkdir()
    (ours / PACK).symlink_to(ROOT, target_is_directory=True)
    pack(last, "behind", behind, BEHIND)
    return Mounts(
        model_folders={"custom_nodes": Path(f"{ours}\n{last}")}, pack=pack(tmp_path / "x", "before", before, BEFORE)
    )


@pytest.mark.server
@pytest.mark.parametrize(
    ("before", "behind"), [(V1, V3), (V3, V1)], ids=["V1 before, V3 behind", "V3 before, V1 behind"]
)
def test_catalogue_ids_stay_with_other_packs(tmp_path, before, behind):
    """Theirs stay theirs whoever loads first, the rest is ours, and all run in one workflow."""
    with ComfyServer(Path(sys.executable), COMFYUI, mounts=mounted(tmp_path, before, behind)) as server:
        client = ComfyClient(server.url)
        info = client.object_info()
        expected = dict.fromkeys(NODES, PACK) | dict.fromkeys(BEFORE, "before") | dict.fromkeys(BEHIND, "behind")
        assert {name: info[name]["python_module"] for name in NODES} == {
            name: f"custom_nodes.{owner}" for name, owner in expected.items()
        }
        assert all(info[name]["display_name"] == "Elsewhere" for name in (*BEFORE, *BEHIND))
        assert not re.search("Traceback|IMPORT FAILED|Error while", server.log_text())
        prompt = {
            "1": {"class_type": "DemoWorldLoad", "inputs": {}},
            "2": {"class_type": BEFORE[0], "inputs": {"model": ["1", 0]}},
            "3": {"class_type": BEHIND[0], "inputs": {"model": ["2", 0]}},
            "4": {"class_type": "DemoWorldPicture", "inputs": PICTURE},
            "5": {"class_type": "PrepImageForClipVision", "inputs": {
                "image": ["4", 0], "interpolation": "LANCZOS", "crop_position": "top", "sharpening": 0.0}},
            "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "prepared"}},
            "7": {"class_type": "PreviewAny", "inputs": {"source": ["3", 0]}},
        }  # fmt: skip
        assert client.run(prompt)["6"]["images"]


PICTURE = {"shape": "star", "seed": 1, "size": 64, "batch_size": 1} | dict.fromkeys(
    ("object_colour", "background_colour", "object_texture", "background_texture"), "any"
)


@pytest.mark.server
def test_catalogue_old_nodes_can_be_switched_off_and_are_replaced(tmp_path):
    """Without them, ComfyUI puts ours in the place of a single one."""
    environment = os.environ | {SWITCH: "off"}
    with ComfyServer(Path(sys.executable), COMFYUI, folder=tmp_path, environment=environment) as server:
        client = ComfyClient(server.url)
        info = client.object_info()
        assert not info.keys() & NODES.keys() and "IPAdapterCoreApply" in info
        registered = client.get("/node_replacements")
        assert {one.old for one in REPLACEMENTS} <= registered.keys()
        prompt = {
            "1": {"class_type": "DemoWorldPicture", "inputs": PICTURE},
            "2": {"class_type": "IPAdapterNoise", "inputs": {
                "type": "fade", "strength": 1.0, "blur": 0, "image_optional": ["1", 0]}},
            "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "noise"}},
        }  # fmt: skip
        prompt = {name: entry | {"_meta": {"title": "x"}} for name, entry in prompt.items()}
        assert client.run(prompt)["3"]["images"]


@pytest.mark.parametrize("one", REPLACEMENTS, ids=lambda one: one.old)
def test_catalogue_replacements_name_what_is_there(one):
    from pack.nodes import NODES as NATIVE
    from pack.nodes.folders import register_folders

    register_folders()
    native = {cls.GET_SCHEMA().node_id: cls.GET_NODE_INFO_V1() for cls in NATIVE}
    new = native.get(one.new) or node_info(comfyui_nodes.NODE_CLASS_MAPPINGS[one.new])
    needed, given = new["input"]["required"], new["input"].get("required", {}) | new["input"].get("optional", {})
    inputs, widgets, outputs = declared(one.old)
    assert set(one.inputs.values()) <= set(inputs)
    assert needed.keys() <= {*one.inputs, *one.values} <= given.keys()
    assert len(set(one.inputs) & set(one.values)) == 0
    assert list(one.widgets) == widgets
    assert all(place < outputs and place < len(new["output"]) for place in one.outputs)


def node_info(cls) -> dict:
    """What ComfyUI's own nodes say."""
    return {"input": cls.INPUT_TYPES(), "output": cls.RETURN_TYPES}


def declared(old: str) -> tuple[list[str], list[str], int]:
    """The inputs, the widgets among them, and the number of outputs of an old id."""
    from pack.tests.oracles.ipadapter_plus_first_nodes import FIRST_NODES
    from pack.tests.oracles.ipadapter_plus_nodes import APPLY_NODES, OPTIONAL

    if old == "IPAdapterCLIPVisionEncode":  # 2023-09-07 to 2023-09-15
        return ["clip_vision", "image"], [], 1
    if old in FIRST_NODES:
        _, inputs, outputs = FIRST_NODES[old]
        return [name for name, *_ in inputs], [name for name, kind, _ in inputs if not is_socket(kind)], len(outputs)
    _, _, inputs, outputs = NODES[old]
    parts = [part for part in inputs if part != OPTIONAL]
    widgets = [part[0] for part in parts if len(part) > 2] + (["results"] if old in APPLY_NODES else [])
    return [part[0] for part in parts], widgets, len(outputs)


def is_socket(kind) -> bool:
    """Whether an input has no widget."""
    return isinstance(kind, str) and kind not in ("FLOAT", "INT", "BOOLEAN", "STRING")
