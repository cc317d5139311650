"""The old nodes as Python classes: their attributes, and calls that need no model."""

import pytest
import torch
from pack.nodes.compat import OLD_NODES
from pack.nodes.folders import register_folders
from pack.tests.oracles.ipadapter_plus_nodes import NODES, OPTIONAL
from pack.tests.oracles.old_callers import METHODS, rand

pytestmark = pytest.mark.catalogue
register_folders()

REGISTRY = {node.GET_SCHEMA().node_id: node for node in OLD_NODES}


@pytest.mark.parametrize("node_id", NODES)
def test_catalogue_class_attributes_are_those_of_the_old_class(node_id):
    """Names and order of inputs and outputs; the method has its old name."""
    node = REGISTRY[node_id]
    _, category, inputs, outputs = NODES[node_id]
    assert METHODS[node_id] == node.FUNCTION and callable(getattr(node(), node.FUNCTION))
    assert isinstance(node.RETURN_TYPES, tuple) and isinstance(node.RETURN_NAMES, tuple)
    assert (*node.RETURN_TYPES, "MORE")[-1] == "MORE"
    assert category == node.CATEGORY
    assert list(zip(node.RETURN_NAMES, node.RETURN_TYPES, strict=True)) == [tuple(one[:2]) for one in outputs]
    declared = {name: one for section in node().INPUT_TYPES().values() for name, one in section.items()}
    assert {one[0] for one in inputs if one != OPTIONAL} <= declared.keys()
    for one in inputs:
        if one != OPTIONAL and isinstance(one[1], list):
            assert isinstance(declared[one[0]][0], list) and declared[one[0]][0] == one[1]


def test_catalogue_inspire_reads_the_weight_types():
    """As its RegionalIPAdapterMask does, for the choice of its own node."""
    words = REGISTRY["IPAdapterAdvanced"]().INPUT_TYPES()["required"]["weight_type"][0]
    assert (
        isinstance(words, list) and words[0] == "linear" and len(words) == 15 and list(words) == [str(w) for w in words]
    )


def test_catalogue_frames_by_method():
    """Six results; the strategy reads like the dictionary that it was, and a dictionary is understood."""
    node = REGISTRY["IPAdapterWeights"]()
    images = rand(2, 8, 8, 3)
    weights, backwards, count, first, second, strategy = node.weights("1.0, 0.0", "linear", 3, image=images)
    assert weights == [1.0, 0.5, 0.0] * 2 and backwards == weights[::-1] and count == 6 == len(first) and second is None
    names = ("weights", "timing", "frames", "start_frame", "end_frame", "add_starting_frames", "add_ending_frames",
             "method", "frame_count")  # fmt: skip
    as_dict = {name: strategy[name] for name in names}
    assert as_dict["frames"] == 3 and as_dict["frame_count"] == 2
    again = REGISTRY["IPAdapterWeightsFromStrategy"]().weights(weights_strategy=as_dict, image=images)
    assert again[0] == weights and torch.equal(again[3], first)
    said = REGISTRY["IPAdapterPromptScheduleFromWeightsStrategy"]().prompt_schedule(as_dict, "a star")
    assert said == ('"0": "a star",\n"3": "a star",\n',)
    assert REGISTRY["IPAdapterCombineWeights"]().combine([1.0], 0.5) == ([1.0, 0.5], 2)
    assert node.weights("1, 0.5")[0] == [1.0, 0.5]


def test_catalogue_images_by_method():
    """Steerable Motion's preparation and noise."""
    (prepared,) = REGISTRY["PrepImageForClipVision"]().prep_image(
        image=rand(1, 60, 90, 3), interpolation="LANCZOS", crop_position="pad", sharpening=0.1
    )
    assert prepared.shape == (1, 224, 224, 3)
    assert REGISTRY["PrepImageForClipVision"]().prep_image(rand(1, 60, 90, 3))[0].shape == (1, 224, 224, 3)
    (made,) = REGISTRY["IPAdapterNoise"]().make_noise(type="fade", strength=0.5, blur=0, image_optional=None)
    assert made.shape == (1, 224, 224, 3)
