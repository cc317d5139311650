"""The workflows that `docs/examples/image_prompt.py` posts: in API format, their nodes found by title."""

import json
from pathlib import Path

from ..environment import ROOT
from .graph import Graph
from .stage import DEMO, SDXL, Stage, World

FOLDER = ROOT / "docs" / "examples"
# What each purpose means: a preset for the models that presets know, blocks of the demo world's UNet.
PURPOSES = {
    "style": ("style transfer", ""),
    "character": ("linear", ""),
    "composition": ("composition", "0: 1, 1: 1, 2: 1, 3: 1"),
}


def image_prompt(world: World) -> Graph:
    """A reference, a prompt, a weight and a purpose become an image and its scores."""
    stage = Stage(world)
    reference = stage.graph.add("LoadImage", "Reference", image="example.png")[0]
    layers = {}
    for purpose, (preset, blocks) in PURPOSES.items():
        layers[purpose] = stage.layers(preset, blocks)
        layers[purpose].node.title = purpose
    stage.apply(stage.encode(reference), weight=0.8, layer_weights=layers["style"])
    picture = stage.sample(stage.say("a star", "a cosy living room, soft light"))
    scorer = {}
    if world.demo:
        scorer["prompt_scores"] = stage.graph.add("DemoWorldPromptScore", "Prompt", images=picture, text="a star")[0]
    scores = stage.graph.add(
        "IPAdapterCoreScore", images=picture, references=reference, clip_vision=stage.encoder, prompt="", **scorer
    )
    stage.graph.add("PreviewAny", "Scores", source=scores[0])
    titles = {"IPAdapterCoreApply": "Apply", "KSampler": "Sampler", "SaveImage": "Picture"}
    for node in stage.graph.nodes:
        node.title = titles.get(node.kind, node.title)
    return stage.graph


def files() -> dict[Path, str]:
    """The workflows' files with their text."""
    graphs = {"demo": image_prompt(DEMO), "sdxl": image_prompt(SDXL)}
    return {
        FOLDER / f"image_prompt_{name}.json": json.dumps(graph.prompt(), indent=1) + "\n"
        for name, graph in graphs.items()
    }
