"""Every node checks every image, mask, number and text that it takes, by the same rules; read from the schemas."""

from typing import Any

import pytest
import torch
from pack.ipadapter_core.errors import InputError
from pack.ipadapter_core.images.transparency import laid_on_grey
from pack.nodes import NODES
from pack.nodes.checked import CheckedNode, declared
from pack.nodes.compat import OLD_NODES
from pack.nodes.folders import register_folders

pytestmark = pytest.mark.inputs

register_folders()
ALL = (*NODES, *OLD_NODES)
GOOD = torch.rand(2, 6, 7, 3, generator=torch.Generator().manual_seed(0))
NAN = torch.full((1, 6, 7), float("nan"))


def sockets(kind: str) -> list[Any]:
    """A node and the name of each of its inputs of a type."""
    return [
        pytest.param(node, name, id=f"{node.GET_SCHEMA().node_id}-{name}")
        for node in ALL
        for name, one in declared(node).inputs.items()
        if one.io_type == kind
    ]


def given(node: type[CheckedNode], name: str, value: Any) -> dict[str, Any]:
    """A value at an input, as ComfyUI hands it over: in a list, or inside a dynamic choice."""
    if declared(node).lists:
        return {name: [value]}
    top = {one.id for one in node.define_schema().inputs}
    return {name: value} if name in top else {"regions": {"regions": "1", name: value}}


def read(node: type[CheckedNode], name: str, value: Any) -> Any:
    """What the node makes of a value, which stands in a list where it takes lists."""
    return node.read(name, [value])[0] if declared(node).lists else node.read(name, value)


def refused(node: type[CheckedNode], name: str, value: Any) -> str:
    """What the node says; nothing else is connected, so nothing else can have been looked at."""
    with pytest.raises(InputError) as error:
        node.execute(**given(node, name, value))
    message = str(error.value)
    assert f"{name} of {declared(node).name}: found " in message and "expected" in message and len(message) < 700
    return message


def test_every_node_is_a_checked_one():
    """There is no other way in, and ComfyUI's copies of the classes are checked once, not twice."""
    for node in ALL:
        assert issubclass(node, CheckedNode)
        copy = node.PREPARE_CLASS_CLONE(None)
        assert copy.execute.__func__ is node.execute.__func__


@pytest.mark.parametrize(("node", "name"), sockets("IMAGE"))
def test_images_are_refused_by_every_node(node, name):
    """NaN, 0 to 255, none at all, two channels, channels first."""
    assert "NaN" in refused(node, name, NAN.unsqueeze(-1).expand(-1, -1, -1, 3))
    assert "values from" in refused(node, name, GOOD * 255)
    assert "empty" in refused(node, name, GOOD[:0])
    assert "[2, 6, 7, 2]" in refused(node, name, GOOD[..., :2])
    assert "channels come first" in refused(node, name, GOOD.movedim(-1, 1))


@pytest.mark.parametrize(("node", "name"), sockets("IMAGE"))
def test_images_of_every_kind_are_read_alike_by_every_node(node, name):
    """One channel is three alike, bytes are scaled, and transparency is kept or lies on grey."""
    assert torch.equal(read(node, name, GOOD), GOOD)
    assert torch.equal(read(node, name, GOOD[..., :1]), GOOD[..., :1].expand(-1, -1, -1, 3))
    assert torch.equal(read(node, name, (GOOD * 255).byte()), (GOOD * 255).byte().float() / 255)
    transparent = torch.cat((GOOD, GOOD[..., :1]), dim=-1)
    assert torch.equal(read(node, name, transparent), transparent if node.reads_alpha else laid_on_grey(transparent))


@pytest.mark.parametrize(("node", "name"), sockets("MASK"))
def test_masks_are_refused_by_every_node(node, name):
    """One NaN pixel, 0 to 255, none at all, an image."""
    pixel = torch.ones(1, 64, 64)
    pixel[0, 5, 5] = float("nan")
    assert "1 of them NaN" in refused(node, name, pixel)
    assert "values from" in refused(node, name, GOOD[..., 0] * 255)
    assert "values from" in refused(node, name, GOOD[..., 0] - 1)
    assert "empty" in refused(node, name, GOOD[:0, ..., 0])
    assert "Convert Image to Mask" in refused(node, name, GOOD)


@pytest.mark.parametrize(("node", "name"), sockets("MASK"))
def test_masks_of_every_layout_are_read_alike_by_every_node(node, name):
    """(H, W), (M, H, W), (M, 1, H, W) and (M, H, W, 1)."""
    masks = GOOD[..., 0]
    for layout in (masks, masks.unsqueeze(1), masks.unsqueeze(-1)):
        assert torch.equal(node.read(name, layout), masks)
    assert torch.equal(node.read(name, masks[0]), masks[:1])


@pytest.mark.parametrize(("node", "name"), sockets("FLOAT"))
def test_numbers_are_refused_by_every_node(node, name):
    """What a connected node may give: NaN, and more than can be multiplied with."""
    for value in (float("nan"), float("-inf"), 1e308):
        refused(node, name, value)


@pytest.mark.parametrize(("node", "name"), sockets("INT"))
def test_counts_are_refused_by_every_node(node, name):
    """Beyond the bounds of the widget; seeds of other packs, which are larger than ours, are brought into ours."""
    refused(node, name, float("nan"))
    if name == "seed":
        assert read(node, name, 2**64 - 1) == 2**63 - 1
    else:
        refused(node, name, 10**9)


@pytest.mark.parametrize(("node", "name"), sockets("LATENT"))
def test_latents_are_refused_by_every_node(node, name):
    """NaN, no batch, whole numbers, none at all; what is right comes back as it is."""
    good = torch.zeros(1, 4, 8, 8)
    for samples in (torch.full_like(good, float("nan")), good[0], good.int(), None):
        refused(node, name, {"samples": samples})
    assert torch.equal(read(node, name, {"samples": good}), good)


@pytest.mark.parametrize(("node", "name"), sockets("EMBEDS"))
def test_features_of_other_packs_are_refused_by_every_node(node, name):
    """NaN, none at all, whole numbers, images; what is right comes back itself."""
    for value in (NAN[0], GOOD[:0, :, :, 0], GOOD[..., 0].int(), GOOD[0, 0, 0], torch.full((1, 4), float("inf"))):
        refused(node, name, value)
    features = GOOD[..., 0].half()
    assert node.read(name, features) is features


@pytest.mark.parametrize(("node", "name"), sockets("STRING"))
def test_texts_are_refused_by_every_node(node, name):
    """What no file can hold, and names that leave the folder."""
    refused(node, name, "a\0b")
    refused(node, name, "a\ud800")
    if name == "filename_prefix":
        refused(node, name, "../../b")
        refused(node, name, "a/" * 1000 + "b")
        refused(node, name, "a" * 300)


def test_lists_of_numbers_are_for_old_nodes():
    """A weight for each frame, as their callers give it."""
    by_id = {node.GET_SCHEMA().node_id: node for node in ALL}
    assert by_id["IPAdapterBatch"].read("weight", [1, 0.5]) == [1.0, 0.5]
    with pytest.raises(InputError, match="^entry 1 of weight of IPAdapter Batch"):
        by_id["IPAdapterBatch"].read("weight", [1, float("nan")])
    with pytest.raises(InputError):
        by_id["IPAdapterCoreApply"].read("weight", [1, 0.5])


def test_regional_parameters_of_other_packs_are_checked():
    """*IPAdapter from Params* takes images and masks inside a dictionary."""
    by_id = {node.GET_SCHEMA().node_id: node for node in ALL}
    columns = {"image": [GOOD], "attn_mask": [NAN], "weight": [1.0], "weight_type": ["linear"], "start_at": [0.0]}
    given = {"model": None, "ipadapter": {"ipadapter": None}, "ipadapter_params": columns | {"end_at": [1.0]}}
    with pytest.raises(
        InputError, match="^attn_mask in ipadapter_params of IPAdapter from Params: found .* 42 of them NaN"
    ):
        by_id["IPAdapterFromParams"].execute(**given)


def test_the_types_that_are_checked_are_those_that_the_nodes_have():
    """A new type of socket has to be thought of here."""
    known = {one.io_type for node in ALL for one in declared(node).inputs.values()}
    assert known - {"IMAGE", "MASK", "FLOAT", "INT", "LATENT", "STRING", "EMBEDS", "IPADAPTER_PARAMS"} == {
        "BOOLEAN", "CLIP", "CLIP_VISION", "COMBO", "COMFY_AUTOGROW_V3", "COMFY_DYNAMICCOMBO_V3", "CONDITIONING", "CURVE",
        "IMAGE_PROMPT", "INSIGHTFACE", "IPADAPTER", "IP_ADAPTER", "IP_ADAPTER_RUN",
        "IP_ADAPTER_SWEEP", "LAYER_WEIGHTS", "MODEL", "VAE", "WEIGHTS_STRATEGY", "WEIGHT_SCHEDULE",
    }  # fmt: skip
