"""Workflows that open as an app: a form of a few inputs and the image, in place of the nodes."""

from collections.abc import Callable

from .app import App
from .graph import Graph, Node
from .stage import SDXL, Stage, World

REFERENCE = "example.png"  # what every ComfyUI has in its input folder


def image_prompt(world: World) -> Graph:
    """SDXL as an app: a reference, a prompt, how strongly the reference acts and what to take from it.

    Choose a purpose: linear takes everything, style transfer the style alone, composition the layout alone.
    """
    stage = Stage(world)
    reference = _photo(stage, "Reference")
    purpose = _purpose(stage)
    prompt = stage.encode(reference[0])
    stage.apply(prompt, weight=1.0 if world.demo else 0.8, layer_weights=purpose[0])
    words = stage.say("a star", "a cosy living room, soft light")
    stage.sample(words)
    _as_app(stage.graph, [(reference, "image", "Reference"), (words.node, "text", "Prompt")], purpose)
    return stage.graph


def character_over_scenes(world: World) -> Graph:
    """SDXL as an app: two images of one character, and a line for each of three scenes.

    Paint over what is not the character in the mask editor, so that it does not come along.
    """
    stage = Stage(world)
    photos = [_photo(stage, f"Image {number}") for number in (1, 2)]
    purpose = _purpose(stage)
    figures = [stage.graph.add("InvertMask", "The figure", mask=photo[1])[0] for photo in photos]
    seen = [stage.encode(photo[0], mask=one) for photo, one in zip(photos, figures, strict=True)]
    stage.apply(stage.combine("average", *seen), weight=1.0 if world.demo else 0.8, layer_weights=purpose[0])
    who = "a small fox with a green scarf"
    scenes = "\n".join(f"{who}, {place}" for place in ("in a snowy wood", "on a beach", "in a city at night"))
    lines = stage.say_each("a heart on green\na heart on blue\na heart on yellow", scenes)
    stage.sample(lines, stage.blank(3))
    shown = [(photo, "image", photo.title or "") for photo in photos]
    _as_app(stage.graph, [*shown, (lines.node, "prompts", "Scenes, a line each")], purpose)
    return stage.graph


APPS: dict[str, Callable[[World], Graph]] = {
    "app_image_prompt": image_prompt,
    "app_character_over_scenes": character_over_scenes,
}


def _published(build: Callable[[World], Graph]) -> Callable[[], Graph]:
    def published() -> Graph:
        return build(SDXL)

    published.__doc__ = build.__doc__
    return published


GRAPHS = {name: _published(build) for name, build in APPS.items()}


def _photo(stage: Stage, title: str) -> Node:
    """One's own image, in the demo world too."""
    return stage.graph.add("LoadImage", title, image=REFERENCE)


def _purpose(stage: Stage) -> Node:
    return stage.graph.add("IPAdapterCoreLayerWeights", preset="linear", blocks="")


def _as_app(graph: Graph, first: list[tuple[Node, str, str]], purpose: Node) -> None:
    """The form: what goes in, how strongly, what to take; and the image that is saved."""
    (apply,) = (node for node in graph.nodes if node.kind == "IPAdapterCoreApply")
    (saved,) = (node for node in graph.nodes if node.kind == "SaveImage")
    shown = [*first, (apply, "weight", "Strength"), (purpose, "preset", "Purpose")]
    for node, name, label in shown:
        node.labels[name] = label
    graph.app = App(tuple((node, name) for node, name, _ in shown), (saved,))
