"""Graphs whose nodes are found by title: filled, scored alone, refused."""

import json

import pytest
from pack.tools.comfyui.titled import Fill, TitleError, checked, filled, purposes, scoring
from pack.tools.mcp_server import main

pytestmark = [pytest.mark.agents, pytest.mark.tool]

GRAPH = json.loads(main.DEMO_GRAPH.read_text(encoding="utf-8"))


def test_agents_graphs_are_found_by_title():
    """Several references are one batch for every reader; scoring needs no sampler; a graph without a title is refused."""
    made = filled(GRAPH, Fill(("a.png", "b.png", "c.png"), "a star", 0.5, "style", 7, 128))
    titled = {node["_meta"]["title"]: node["inputs"] for node in made.values() if node["class_type"] != "ImageBatch"}
    batches = [name for name, node in made.items() if node["class_type"] == "ImageBatch"]
    assert len(batches) == 2 and titled["IPAdapterCoreEncode"]["image"] == [batches[-1], 0]
    assert titled["IPAdapterCoreScore"]["references"] == [batches[-1], 0]
    assert titled["Sampler"]["seed"] == 7 and titled["EmptyChromaRadianceLatentImage"]["width"] == 128
    scored = scoring(GRAPH, "mine.png", ("a.png",), "a star")
    (score,) = (node for node in scored.values() if node["class_type"] == "IPAdapterCoreScore")
    assert scored[score["inputs"]["images"][0]]["inputs"]["image"] == "mine.png"
    assert all(node["class_type"] != "SaveImage" for node in scored.values())
    assert purposes(GRAPH) == ["style", "character", "composition"]
    with pytest.raises(TitleError, match="no node titled Sampler"):
        checked({name: node for name, node in GRAPH.items() if node["_meta"]["title"] != "Sampler"})
    with pytest.raises(TitleError, match="not in API format"):
        checked({"nodes": []})
