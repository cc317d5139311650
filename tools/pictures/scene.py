"""A workflow of the demo world that grows tile by tile into a strip of labelled images."""

import io
from typing import Any, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from ..comfyui.client import ComfyClient
from ..workflows.graph import Graph, Node, Output

TILE, MARGIN, LABEL = 192, 8, 22
ADAPTER = "demo_world_ip_adapter.safetensors"
SAMPLING = {"steps": 20, "cfg": 2.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
Reference = dict[str, Any]
BLUE_STRIPES: Reference = {"object_colour": "yellow", "background_colour": "blue", "background_texture": "striped"}
GREEN_DOTS: Reference = {"object_colour": "red", "background_colour": "green", "background_texture": "dotted"}


class Tile(NamedTuple):
    """A label, and the node whose preview is shown under it (all images of a batch, or one)."""

    label: str
    node: Node
    batch: bool = False


class Scene:
    """The demo world's models, and the images to show of what is made with them."""

    def __init__(self) -> None:
        self.graph = Graph()
        world = self.graph.add("DemoWorldLoad")
        self.model, self.clip, self.vae, self.encoder, self.control = (world[slot] for slot in range(5))
        self.adapter = self.graph.add("IPAdapterCoreLoad", ip_adapter_name=ADAPTER)[0]
        self.tiles: list[Tile] = []

    def draw(self, shape: str = "circle", seed: int = 11, **words: Any) -> Node:
        """An image of the demo world; its outputs are image, outline and mask."""
        rest = ("object_colour", "background_colour", "object_texture", "background_texture")
        return self.graph.add(
            "DemoWorldPicture",
            **({name: "any" for name in rest} | {"shape": shape, "seed": seed, "size": 64, "batch_size": 1} | words),
        )

    def reference(self, label: str = "reference", words: Reference = BLUE_STRIPES, **drawn: Any) -> Output:
        """A drawn reference, shown."""
        picture = self.draw(**(words | drawn))[0]
        self.show(label, picture)
        return picture

    def encode(self, picture: Output, fit: str = "as trained", **inputs: Any) -> Node:
        """*Encode Reference Image*."""
        given = {"ip_adapter": self.adapter, "image": picture, "clip_vision": self.encoder, "fit": fit}
        return self.graph.add("IPAdapterCoreEncode", **(given | inputs))

    def apply(self, prompt: Output, weight: float = 1.0, **inputs: Any) -> Output:
        """*Apply IP-Adapter* on the demo's model."""
        given = {"model": self.model, "ip_adapter": self.adapter, "image_prompt": prompt, "weight": weight}
        window = {"start_percent": 0.0, "end_percent": 1.0}
        return self.graph.add("IPAdapterCoreApply", **(given | window | inputs))[0]

    def texts(self, text: str) -> list[Output]:
        """A text and an empty one, encoded."""
        return [self.graph.add("CLIPTextEncode", clip=self.clip, text=words)[0] for words in (text, "")]

    def sample(self, label: str | None, model: Output, text: str = "a star", seed: int = 1, batch: int = 1,
               outline: Output | None = None) -> Output:  # fmt: skip
        """A finished image, shown unless its label is None; with an outline the ControlNet follows it."""
        texts = self.texts(text)
        if outline is not None:
            controlled = self.graph.add(
                "ControlNetApplyAdvanced", positive=texts[0], negative=texts[1], control_net=self.control, image=outline,
                vae=self.vae, strength=1.0, start_percent=0.0, end_percent=1.0,
            )  # fmt: skip
            texts = [controlled[0], controlled[1]]
        empty = self.graph.add("EmptyChromaRadianceLatentImage", width=64, height=64, batch_size=batch)
        noise = self.graph.add("KSampler", model=model, seed=seed, positive=texts[0], negative=texts[1],
                               latent_image=empty[0], **SAMPLING)  # fmt: skip
        picture = self.graph.add("VAEDecode", samples=noise[0], vae=self.vae)[0]
        if label is not None:
            self.show(label, picture, batch > 1)
        return picture

    def show(self, label: str, picture: Output, batch: bool = False) -> None:
        """Shows an image."""
        self.tiles.append(Tile(label, self.graph.add("PreviewImage", images=picture), batch))

    def seen(self, label: str, node: Node) -> None:
        """Shows what a node previews itself."""
        self.graph.add("PreviewAny", source=node[0])  # ComfyUI runs only what an output node asks for
        self.tiles.append(Tile(label, node))

    def half(self, left: bool = True) -> Output:
        """A mask of the left or the right half."""
        nothing = self.graph.add("SolidMask", value=0.0, width=64, height=64)[0]
        strip = self.graph.add("SolidMask", value=1.0, width=32, height=64)[0]
        place = {"x": 0 if left else 32, "y": 0, "operation": "add"}
        return self.graph.add("MaskComposite", destination=nothing, source=strip, **place)[0]

    def strip(self, client: ComfyClient) -> Image.Image:
        """Runs the workflow once; the images side by side under their labels."""
        outputs = client.run(self.graph.prompt())
        found = []
        for tile in self.tiles:
            entries = outputs[str(tile.node.number)]["images"]
            for number, entry in enumerate(entries if tile.batch else entries[:1], start=1):
                label = f"{tile.label} {number}" if tile.batch else tile.label
                found.append((label, Image.open(io.BytesIO(client.picture(entry))).convert("RGB")))
        return strip(found)


def strip(found: list[tuple[str, Image.Image]], tile: int = TILE) -> Image.Image:
    """Images of one height side by side, each under its label."""
    scaled = [(label, _scaled(picture, tile)) for label, picture in found]
    width = sum(picture.width + MARGIN for _, picture in scaled) + MARGIN
    sheet = Image.new("RGB", (width, tile + LABEL + 2 * MARGIN), "white")
    pen, left = ImageDraw.Draw(sheet), MARGIN
    for label, picture in scaled:
        pen.text((left, MARGIN - 2), label, fill="black", font=ImageFont.load_default(14))
        sheet.paste(picture, (left, MARGIN + LABEL))
        left += picture.width + MARGIN
    return sheet


def _scaled(picture: Image.Image, height: int) -> Image.Image:
    method = Image.Resampling.NEAREST if picture.height <= 64 else Image.Resampling.LANCZOS
    return picture.resize((round(picture.width * height / picture.height), height), method)
