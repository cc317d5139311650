"""The workflows of `tools/workflows/tasks.py` by name, each in the demo world and with published files."""

from collections.abc import Callable

from ..workflows import tasks as tasks
from .graph import Graph
from .stage import DEMO, SD15, SDXL, World

Task = Callable[[World], Graph]
DEMO_TEXTS: dict[str, tuple[Task, str]] = {
    "demo_brand_style": (
        tasks.brand_style,
        "The demo world: one brand, four subjects. The four images of the batch have a prompt each (Prompts over Frames) "
        "and one reference, whose colours and stripes they share.",
    ),
    "demo_character": (
        tasks.character,
        "The demo world: one figure, three scenes. Two images of it, their grounds masked away, are averaged; each prompt "
        "names another ground.",
    ),
    "demo_style_transfer": (
        tasks.style_transfer,
        "The demo world: an image is painted in the style of an artwork. The content goes in as a latent and keeps its "
        "place, colours and pattern come from the artwork.",
    ),
    "demo_composition_transfer": (
        tasks.demo_composition_transfer,
        "The demo world: the composition of one image in the style of another, without a word. The demo's adapter knows "
        "colours and patterns and no layout, so the composition goes through the ControlNet; see SDXL's workflow for an "
        "adapter that takes it.",
    ),
    "demo_two_regions": (
        tasks.two_regions,
        "The demo world: another style in each half of one star. Regional Image Prompts has a mask for the left; the right "
        "is the rest.",
    ),
    "demo_faceless_portrait": (
        tasks.faceless_portrait,
        "The demo world: a portrait without its face. The shape in the reference is masked away and its colour with it; "
        "the background comes along, and the prompt says what stands before it.",
    ),
    "demo_animated_blend": (
        tasks.animated_blend,
        "The demo world: a clip that fades from each of three references to the next, twelve frames of one batch.",
    ),
    "demo_controlnet_and_lora": (
        tasks.controlnet_and_lora,
        "The demo world: an IP-Adapter, a ControlNet and a LoRA together. The colours come from the reference, the outline "
        "from the ControlNet, and the white frame from the LoRA, which was trained for nothing else.",
    ),
}
REAL_TEXTS: dict[str, tuple[Task, World, str]] = {
    "sdxl_brand_style": (
        tasks.brand_style,
        SDXL,
        "SDXL: one brand, four subjects. The four images of the batch have a prompt each and one reference, of which "
        "Layer Weights takes the style alone. For less memory take fewer lines and a smaller batch.",
    ),
    "sdxl_character": (
        tasks.character,
        SDXL,
        "SDXL: one character, three scenes. Two images of it are averaged; paint over their grounds in the mask editor, so "
        "that these do not come along.",
    ),
    "sdxl_style_transfer": (
        tasks.style_transfer,
        SDXL,
        "SDXL: an image in the style of an artwork. Denoise of the sampler says how much of the content is painted anew.",
    ),
    "sdxl_composition_transfer": (
        tasks.composition_transfer,
        SDXL,
        "SDXL: the layout of a reference, the content and the style from the prompt. Only the block that makes the "
        "composition listens.",
    ),
    "sdxl_two_regions": (
        tasks.two_regions,
        SDXL,
        "SDXL: another style in each half of the image. Any mask will do for the left; the right is the rest. Each region "
        "can have its own words too.",
    ),
    "sdxl_faceless_portrait": (
        tasks.faceless_portrait,
        SDXL,
        "SDXL: hair, clothes and light of a portrait, and somebody else's face. Paint over the face in the mask editor: the "
        "encoder does not see it, and the prompt says who it is.",
    ),
    "sd15_animated_blend": (
        tasks.animated_blend,
        SD15,
        "SD1.5: twelve frames that fade from each of three references to the next. For motion, put AnimateDiff's model "
        "before Apply IP-Adapter; frames keep their references in its context windows.",
    ),
    "sdxl_controlnet_and_lora": (
        tasks.controlnet_and_lora,
        SDXL,
        "SDXL: an IP-Adapter, a Canny ControlNet and the LCM LoRA together, in eight steps. The order of LoRA and adapter "
        "does not matter.",
    ),
}


def _build(task: Task, world: World, text: str) -> Callable[[], Graph]:
    def build() -> Graph:
        return task(world)

    build.__doc__ = text
    return build


GRAPHS = {name: _build(task, DEMO, text) for name, (task, text) in DEMO_TEXTS.items()} | {
    name: _build(*real) for name, real in REAL_TEXTS.items()
}


def shown_by(name: str) -> Callable[[], Graph] | None:
    """The demo world's workflow of the same task, whose images stand for both; None for the other workflows."""
    _, _, task = name.partition("_")
    return GRAPHS.get(f"demo_{task}") if name in GRAPHS else None
