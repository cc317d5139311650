"""What the images of the documentation show: a recipe for each node and for each task, all in the demo world."""

import zlib
from collections.abc import Callable

from ..workflows.graph import Graph
from ..workflows.training import demo_train_adapter
from .node_recipes import FURTHER
from .scene import BLUE_STRIPES, GREEN_DOTS, Scene

Recipe = Callable[[Scene], None]
WORDS = ("a star", "a heart", "a moon", "a cross")


def load(scene: Scene) -> None:
    """Without and with the adapter."""
    prompt = scene.encode(scene.reference())[0]
    scene.sample("'a star', no adapter", scene.model)
    scene.sample("with the adapter", scene.apply(prompt))


def encode(scene: Scene) -> None:
    """A wide image, and what the encoder sees of it."""
    first, second = scene.draw(**BLUE_STRIPES)[0], scene.draw("cross", 3, **GREEN_DOTS)[0]
    wide = scene.graph.add("ImageStitch", image1=first, image2=second, direction="right", match_image_size=True,
                           spacing_width=0, spacing_color="white")[0]  # fmt: skip
    scene.show("a wide reference", wide)
    for fit in ("center", "left", "pad", "stretch"):
        scene.seen(f"fit: {fit}", scene.encode(wide, fit))


def apply(scene: Scene) -> None:
    """Weights, a mask and a window."""
    prompt = scene.encode(scene.reference())[0]
    for weight in (0.0, 0.5, 1.0):
        scene.sample(f"weight {weight:g}", scene.apply(prompt, weight))
    scene.sample("mask: left half", scene.apply(prompt, mask=scene.half()))
    scene.sample("start_percent 0.5", scene.apply(prompt, start_percent=0.5))


def layer_weights(scene: Scene) -> None:
    """The bars of a preset, and the demo with parts of its UNet left out."""
    scene.seen("style transfer", scene.graph.add("IPAdapterCoreLayerWeights", preset="style transfer", blocks=""))
    prompt = scene.encode(scene.reference())[0]
    for label, blocks in (("all blocks", ""), ("input: 0", "input: 0"), ("output: 0", "output: 0")):
        weights = scene.graph.add("IPAdapterCoreLayerWeights", preset="linear", blocks=blocks)[0]
        scene.sample(label, scene.apply(prompt, layer_weights=weights))


def weight_schedule(scene: Scene) -> None:
    """Two curves and what they make."""
    prompt = scene.encode(scene.reference())[0]
    for preset in ("early", "late"):
        schedule = scene.graph.add("IPAdapterCoreWeightSchedule", preset=preset, points="")
        scene.seen(preset, schedule)
        scene.sample(f"with {preset}", scene.apply(prompt, weight_schedule=schedule[0]))


def combine(scene: Scene) -> None:
    """Two references together and mixed."""
    first = scene.encode(scene.reference("first"))[0]
    second = scene.encode(scene.reference("second", GREEN_DOTS, shape="cross", seed=3))[0]
    for method in ("concat", "average", "subtract"):
        sockets = {"image_prompts.image_prompt0": first, "image_prompts.image_prompt1": second}
        both = scene.graph.add("IPAdapterCoreCombine", method=method, **sockets)[0]
        scene.sample(method, scene.apply(both))


def weigh_reference(scene: Scene) -> None:
    """A reference for each half of the image."""
    halves = []
    for label, words, left in (("left", BLUE_STRIPES, True), ("right", GREEN_DOTS, False)):
        prompt = scene.encode(scene.reference(f"for the {label}", words))[0]
        weighed = scene.graph.add("IPAdapterCoreWeighReference", image_prompt=prompt, weight=1.0, mask=scene.half(left))
        halves.append(weighed[0])
    sockets = {f"image_prompts.image_prompt{number}": half for number, half in enumerate(halves)}
    both = scene.graph.add("IPAdapterCoreCombine", method="concat", **sockets)[0]
    scene.sample("'a star'", scene.apply(both))
    scene.sample("'a heart'", scene.apply(both), "a heart")


def demo(scene: Scene) -> None:
    """The text says what, the reference in which colours, the ControlNet where."""
    prompt = scene.encode(scene.reference())[0]
    outline = scene.draw("star", 5)[1]
    scene.sample("no adapter", scene.model)
    scene.sample("weight 0.5", scene.apply(prompt, 0.5))
    scene.sample("weight 1", scene.apply(prompt))
    scene.sample("with a ControlNet", scene.apply(prompt), outline=outline)


def brand_style(scene: Scene) -> None:
    """One reference, several prompts."""
    model = scene.apply(scene.encode(scene.reference("the brand"))[0])
    for text in WORDS:
        scene.sample(f"'{text}'", model, text)


def character(scene: Scene) -> None:
    """Several images of one thing, several prompts."""
    prompts = [scene.encode(scene.reference(f"image {n}", GREEN_DOTS, shape=shape, seed=20 + n))[0]
               for n, shape in enumerate(("circle", "ring"), start=1)]  # fmt: skip
    sockets = {f"image_prompts.image_prompt{number}": prompt for number, prompt in enumerate(prompts)}
    both = scene.graph.add("IPAdapterCoreCombine", method="average", **sockets)[0]
    model = scene.apply(both)
    for text in WORDS[:3]:
        scene.sample(f"'{text}'", model, text)


def style_transfer(scene: Scene) -> None:
    """The same noise, with more and less of the style."""
    prompt = scene.encode(scene.reference("the style"))[0]
    scene.sample("no adapter", scene.model, "a heart")
    scene.sample("weight 0.5", scene.apply(prompt, 0.5), "a heart")
    scene.sample("weight 1", scene.apply(prompt), "a heart")
    scene.sample("from 30 % on", scene.apply(prompt, start_percent=0.3), "a heart")


def controlnet(scene: Scene) -> None:
    """The reference brings the colours, the outline the layout."""
    model = scene.apply(scene.encode(scene.reference())[0])
    outline = scene.draw("star", 5)[1]
    scene.show("outline", outline)
    scene.sample("reference alone", model)
    scene.sample("with the ControlNet", model, outline=outline)


def animation(scene: Scene) -> None:
    """A weight for each frame."""
    prompt = scene.encode(scene.reference())[0]
    scene.sample("frame", scene.apply(prompt, frame_weights="0, 0.4, 0.7, 1"), batch=4)


def program(scene: Scene) -> None:
    """One prompt, posted five times with another seed."""
    model = scene.apply(scene.encode(scene.reference())[0])
    for seed in range(1, 5):
        scene.sample(f"seed {seed}", model, seed=seed)


def thumbnail(name: str) -> Recipe:
    """A reference and a result for a workflow, other ones for each name."""
    chance = zlib.crc32(name.encode())

    def recipe(scene: Scene) -> None:
        words = BLUE_STRIPES if name.startswith("demo") else {}
        model = scene.apply(scene.encode(scene.reference("", words, seed=11 + chance % 50))[0])
        outline = scene.draw("star", 5)[1] if "controlnet" in name else None
        scene.sample("", model, WORDS[0] if words else WORDS[chance % len(WORDS)], outline=outline)

    return recipe


def of_graph(build: Callable[[], Graph]) -> Recipe:
    """What goes into a workflow of the demo world, and every image of its batch that comes out."""

    def recipe(scene: Scene) -> None:
        scene.graph = build()
        drawn = [node for node in scene.graph.nodes if node.kind == "DemoWorldPicture"]
        (made,) = (node for node in scene.graph.nodes if node.kind == "VAEDecode")
        for node in drawn:
            scene.show((node.title or "").lower(), node[0])
        scene.show("result", made[0], batch=True)

    return recipe


def trained(scene: Scene) -> None:
    """Some of what an adapter was tuned on, and a heart like the reference, before and after."""
    scene.graph = demo_train_adapter()
    titled = {node.title: node for node in scene.graph.nodes}
    scene.show("reference", titled["Reference"][0])
    for title in ("Before", "After"):
        scene.show(title.lower(), titled[title].inputs["images"])


GRAPHS: dict[str, Recipe] = {"demo_train_adapter": trained}  # of workflows that no general recipe fits
NODES: dict[str, Recipe] = {
    "IPAdapterCoreLoad": load,
    "IPAdapterCoreEncode": encode,
    "IPAdapterCoreApply": apply,
    "IPAdapterCoreLayerWeights": layer_weights,
    "IPAdapterCoreWeightSchedule": weight_schedule,
    "IPAdapterCoreCombine": combine,
    "IPAdapterCoreWeighReference": weigh_reference,
    **FURTHER,
}
TASKS: dict[str, Recipe] = {
    "demo": demo,
    "brand-style": brand_style,
    "character": character,
    "style-transfer": style_transfer,
    "controlnet": controlnet,
    "regions": weigh_reference,
    "animation": animation,
    "program": program,
}
