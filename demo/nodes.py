"""The demo's nodes: its models, images of its world, how well one shows a text. All else is ComfyUI's or the pack's."""

from comfy_api.latest import ComfyExtension, io

from .load import load
from .measure import prompt_kept
from .pictures import Request, draw
from .shapes import SHAPE_NAMES
from .textures import TEXTURE_NAMES
from .world import COLOURS

ANY = "any"
CATEGORY = "IP-Adapter Core/demo"


class DemoWorldLoad(io.ComfyNode):
    """Loads the demo world's models."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """No inputs; one output for each model."""
        return io.Schema(
            node_id="DemoWorldLoad",
            display_name="Load Demo World",
            category=CATEGORY,
            description="A base model small enough for a CPU, with its text encoder, VAE, CLIP vision and outline ControlNet.",
            inputs=[],
            outputs=[
                io.Model.Output(display_name="MODEL"),
                io.Clip.Output(display_name="CLIP"),
                io.Vae.Output(display_name="VAE"),
                io.ClipVision.Output(display_name="CLIP_VISION"),
                io.ControlNet.Output(display_name="CONTROL_NET"),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        """Loads everything from the files beside this one."""
        return io.NodeOutput(*load())


def _choice(name: str, options: tuple[str, ...], tooltip: str) -> io.Combo.Input:
    return io.Combo.Input(name, options=[ANY, *options], default=ANY, tooltip=tooltip)


class DemoWorldPicture(io.ComfyNode):
    """Draws images of the demo world, to be references, outlines or masks."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What to draw; "any" leaves a choice to the seed."""
        colours = tuple(COLOURS)
        return io.Schema(
            node_id="DemoWorldPicture",
            display_name="Draw Demo World Image",
            category=CATEGORY,
            description='Draws a shape on a background. What is left at "any" follows from the seed.',
            inputs=[
                _choice("shape", SHAPE_NAMES, "The shape to draw."),
                _choice("object_colour", colours, "The colour of the shape."),
                _choice("background_colour", colours, "The colour behind the shape."),
                _choice("object_texture", TEXTURE_NAMES, "The texture on the shape."),
                _choice("background_texture", TEXTURE_NAMES, "The texture behind the shape."),
                io.Int.Input(
                    "seed", default=0, min=0, max=2**32 - 1, tooltip="Another seed, another place, size and turn."
                ),
                io.Int.Input("size", default=64, min=16, max=1024, step=8, tooltip="Width and height in pixels."),
                io.Int.Input("batch_size", default=1, min=1, max=256, tooltip="How many images to draw."),
            ],
            outputs=[
                io.Image.Output(display_name="picture"),
                io.Image.Output(display_name="outline"),
                io.Mask.Output(display_name="mask"),
            ],
        )

    @classmethod
    def execute(cls, seed: int, size: int, batch_size: int, **words: str) -> io.NodeOutput:
        """Draws the images, their outlines and their masks."""
        request = Request(**{name: None if word == ANY else word for name, word in words.items()})
        return io.NodeOutput(*draw(request, seed, batch_size, size))


class DemoWorldPromptScore(io.ComfyNode):
    """Says how well images show what a text says: in this world what CLIP-T is elsewhere."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Images of the world and a text."""
        return io.Schema(
            node_id="DemoWorldPromptScore",
            display_name="Score Demo World Prompt",
            category=CATEGORY,
            description="How well images show the shape and the colours that a text names, 0 to 1.",
            inputs=[
                io.Image.Input("images", tooltip="Images of 64 by 64 pixels."),
                io.String.Input("text", default="a red star on white", tooltip="What the prompt says."),
            ],
            outputs=[io.Float.Output(display_name="score")],
        )

    @classmethod
    def execute(cls, images, text: str) -> io.NodeOutput:
        """The mean over the batch."""
        return io.NodeOutput(float(prompt_kept(images.float().cpu(), text).mean()))


class DemoWorldExtension(ComfyExtension):
    """The list of the demo's nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """All of them."""
        return [DemoWorldLoad, DemoWorldPicture, DemoWorldPromptScore]
