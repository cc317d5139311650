"""What people do with an image prompt, as workflows on any `Stage`; `tools/workflows/by_task.py` lists them."""

from dataclasses import replace

from .graph import Graph
from .stage import Stage, World, file

CANNY = file(
    "controlnet-canny-sdxl-1.0.fp16.safetensors",
    "diffusers/controlnet-canny-sdxl-1.0/resolve/main/diffusion_pytorch_model.fp16.safetensors",
    "controlnet",
)
LCM = file(
    "lcm-lora-sdxl.safetensors",
    "latent-consistency/lcm-lora-sdxl/resolve/main/pytorch_lora_weights.safetensors",
    "loras",
)
DEMO_LORA = "demo_world_frame.safetensors"


def brand_style(world: World) -> Graph:
    """One reference, a prompt for each image of the batch."""
    stage = Stage(world)
    brand = stage.picture(
        "The brand", 11, shape="circle", object_colour="yellow", background_colour="blue", background_texture="striped"
    )
    stage.apply(stage.encode(brand[0]), layer_weights=stage.layers("style transfer", ""))
    subjects = "a bottle on a table\na bicycle by a wall\na bag on a chair\na shop window"
    stage.sample(stage.say_each("a star\na heart\na moon\na cross", subjects), stage.blank(4))
    return stage.graph


def character(world: World) -> Graph:
    """Two images of one figure, averaged; the weight leaves the place to the prompts."""
    stage = Stage(world)
    looks = {"shape": "heart", "object_colour": "red"}
    pictures = [
        stage.picture(f"Image {number + 1}", 21 + number, background_colour=ground, **looks)
        for number, ground in enumerate(("white", "grey"))
    ]
    seen = [stage.encode(picture[0], mask=_figure(stage, picture)) for picture in pictures]
    stage.apply(stage.combine("average", *seen), weight=1.0 if world.demo else 0.8)
    figure = "a small fox with a green scarf"
    scenes = "\n".join(f"{figure}, {place}" for place in ("in a snowy wood", "on a beach", "in a city at night"))
    stage.sample(stage.say_each("a heart on green\na heart on blue\na heart on yellow", scenes), stage.blank(3))
    return stage.graph


def style_transfer(world: World) -> Graph:
    """The content goes in as a latent, the artwork as an image prompt."""
    stage = Stage(world)
    content = stage.picture("Content", 5, shape="heart", object_colour="green", background_colour="white")
    artwork = stage.picture(
        "Artwork", 31, shape="circle", object_colour="yellow", background_colour="purple", background_texture="dotted"
    )
    stage.apply(stage.encode(artwork[0]), layer_weights=stage.layers("style transfer", ""))
    latent = stage.graph.add("VAEEncode", pixels=content[0], vae=stage.vae)
    stage.sample(
        stage.say("a heart", "a house by a lake, oil painting"), latent[0], denoise=0.85 if world.demo else 0.7
    )
    return stage.graph


def composition_transfer(world: World) -> Graph:
    """The composition's block listens to the reference, the words say the rest."""
    stage = Stage(world)
    layout = stage.picture("Composition", 7)
    stage.apply(stage.encode(layout[0]), layer_weights=stage.layers("composition", ""))
    stage.sample(stage.say("", "an astronaut in a garden, watercolour"))
    return stage.graph


def demo_composition_transfer(world: World) -> Graph:
    """The outline of one image, the style of another, and no words: the demo's adapter knows no composition."""
    stage = Stage(world)
    layout = stage.picture("Composition", 7, shape="moon", object_colour="green", background_colour="pink")
    style = stage.picture(
        "Style", 11, shape="circle", object_colour="yellow", background_colour="blue", background_texture="striped"
    )
    stage.apply(stage.encode(style[0]))
    words = stage.say("", ""), stage.say("", "", "Negative prompt")
    texts = stage.graph.add(
        "ControlNetApplyAdvanced", positive=words[0], negative=words[1], control_net=stage.control, image=layout[1],
        vae=stage.vae, strength=1.0, start_percent=0.0, end_percent=1.0,
    )  # fmt: skip
    stage.sample(texts[0], negative=texts[1])
    return stage.graph


def two_regions(world: World) -> Graph:
    """A mask for the first region; the second one is the rest."""
    stage = Stage(world)
    left = stage.picture("Left", 11, shape="circle", object_colour="yellow", background_colour="blue")
    right = stage.picture("Right", 12, shape="circle", object_colour="pink", background_colour="green")
    half = world.size // 2
    nowhere = stage.graph.add("SolidMask", "Nowhere", value=0.0, width=world.size, height=world.size)
    strip = stage.graph.add("SolidMask", "Half", value=1.0, width=half, height=world.size)
    mask = stage.graph.add(
        "MaskComposite", "Left half", destination=nowhere[0], source=strip[0], x=0, y=0, operation="add"
    )
    whole = stage.say("a star", "two houses side by side")
    regions = stage.graph.add("IPAdapterCoreRegions", regions="2", positive=whole, prompt_strength=1.0, **{
        "regions.image_prompt_1": stage.encode(left[0]), "regions.mask_1": mask[0], "regions.weight_1": 1.0,
        "regions.image_prompt_2": stage.encode(right[0]), "regions.weight_2": 1.0,
    })  # fmt: skip
    stage.apply(regions[0], weight=1.3 if world.demo else 0.8)
    stage.sample(regions[1])
    return stage.graph


def faceless_portrait(world: World) -> Graph:
    """What is painted over in the mask editor is not seen by the encoder."""
    stage = Stage(world)
    portrait = stage.picture(
        "Portrait", 41, shape="circle", object_colour="orange", background_colour="teal", background_texture="striped"
    )
    face = portrait[2] if world.demo else portrait[1]
    rest = stage.graph.add("InvertMask", "All but the face", mask=face)
    stage.apply(stage.encode(portrait[0], mask=rest[0]), weight=1.0 if world.demo else 0.7)
    stage.sample(stage.say("a purple circle", "portrait of an old man with a white beard"))
    return stage.graph


def animated_blend(world: World) -> Graph:
    """*References over Frames* goes from each reference to the next, and two Apply nodes fade."""
    stage = Stage(world)
    styles = (("yellow", "blue"), ("red", "white"), ("green", "black"))
    references = [
        stage.picture(
            f"Reference {number + 1}", 11 + number, shape="circle", object_colour=front, background_colour=back
        )
        for number, (front, back) in enumerate(styles)
    ]
    row = stage.graph.add("IPAdapterCoreFrameWeights", weights="1, 0", timing="ease_in_out", frames=6)
    prompt = stage.combine("concat", *(stage.encode(one[0]) for one in references))
    frames = stage.graph.add(
        "IPAdapterCoreReferencesOverFrames", image_prompt=prompt, weights=row[0], method="shift batches"
    )
    for slot in (0, 1):
        stage.apply(frames[slot], references="one per frame")
    clip = stage.sample(stage.say("a star", "a lighthouse by the sea"), stage.blank(frames[3]))
    settings = {"fps": 6.0, "lossless": True, "quality": 90, "method": "default"}
    stage.graph.add("SaveAnimatedWEBP", images=clip, filename_prefix="ip_adapter", **settings)
    return stage.graph


def controlnet_and_lora(world: World) -> Graph:
    """The LoRA first, the adapter behind it, the ControlNet on the words."""
    stage = Stage(world if world.demo else replace(world, sampling=(8, 1.8, "lcm", "sgm_uniform")))
    lora = {"lora_name": DEMO_LORA if world.demo else LCM["name"], "strength_model": 1.0}
    files = [] if world.demo else [LCM]
    stage.model = stage.graph.add("LoraLoaderModelOnly", None, files, model=stage.model, **lora)[0]
    style = stage.picture("Reference", 11, shape="circle", object_colour="yellow", background_colour="blue")
    stage.apply(stage.encode(style[0]), weight=1.0 if world.demo else 0.7)
    layout = stage.picture("Layout", 5, shape="star")
    outline, control = layout[1], stage.control
    if not world.demo:
        outline = stage.graph.add("Canny", image=layout[0], low_threshold=0.2, high_threshold=0.5)[0]
        control = stage.graph.add("ControlNetLoader", None, [CANNY], control_net_name=CANNY["name"])[0]
    words = stage.say("a star", "a cosy living room, soft light"), stage.say("", world.negative, "Negative prompt")
    strength = {"strength": 1.0 if world.demo else 0.6, "start_percent": 0.0, "end_percent": 1.0}
    texts = stage.graph.add(
        "ControlNetApplyAdvanced", positive=words[0], negative=words[1], control_net=control, image=outline,
        vae=stage.vae, **strength,
    )  # fmt: skip
    stage.sample(texts[0], negative=texts[1])
    return stage.graph


def _figure(stage: Stage, picture):
    """White on the figure: the demo draws it, elsewhere the ground is painted over in the mask editor."""
    return picture[2] if stage.world.demo else stage.graph.add("InvertMask", "The figure", mask=picture[1])[0]
