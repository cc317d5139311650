"""An image prompt travels inside a PNG through a real server: saved, fetched, uploaded as engines upload images, and loaded."""

import io
import os

import numpy
import pytest
import torch
from pack.ipadapter_core.limits import PNG_PROMPT_BYTES
from pack.ipadapter_core.prompt.png_prompts import with_prompt
from pack.tools.comfyui.client import GraphError
from pack.tools.workflows.graph import Graph
from PIL import Image

pytestmark = pytest.mark.catalogue

ADAPTER = "demo_world_ip_adapter.safetensors"
DRAWN = {"shape": "circle", "object_colour": "yellow", "background_colour": "blue", "object_texture": "plain",
         "background_texture": "striped", "size": 64, "batch_size": 1, "seed": 3}  # fmt: skip


class Demo(Graph):
    """A workflow on the demo world."""

    def __init__(self):
        super().__init__()
        self.world = self.add("DemoWorldLoad")
        self.adapter = self.add("IPAdapterCoreLoad", ip_adapter_name=ADAPTER)[0]
        self.reference = self.add("DemoWorldPicture", **DRAWN)[0]

    def encoded(self):
        given = {"ip_adapter": self.adapter, "image": self.reference, "clip_vision": self.world[3]}
        return self.add("IPAdapterCoreEncode", **given, fit="as trained")[0]

    def sampled(self, prompt):
        """An image in four steps."""
        given = {
            "ip_adapter": self.adapter,
            "image_prompt": prompt,
            "weight": 1.0,
            "start_percent": 0.0,
            "end_percent": 1.0,
        }
        model = self.add("IPAdapterCoreApply", model=self.world[0], **given)[0]
        positive, negative = (self.add("CLIPTextEncode", clip=self.world[1], text=text)[0] for text in ("a star", ""))
        latent = self.add("EmptyChromaRadianceLatentImage", width=64, height=64, batch_size=1)[0]
        noise = self.add("KSampler", model=model, seed=1, steps=4, cfg=2.0, sampler_name="euler", scheduler="simple",
                         positive=positive, negative=negative, latent_image=latent, denoise=1.0)  # fmt: skip
        return self.add("PreviewImage", images=self.add("VAEDecode", samples=noise[0], vae=self.world[2])[0])


def pixels(client, outputs, node):
    """The image that a node shows."""
    return numpy.asarray(Image.open(io.BytesIO(client.picture(outputs[str(node.number)]["images"][0]))))


def same(one, other):
    """The same image: Save Image Prompt rounds to 8 bits, where ComfyUI's previews cut off."""
    return abs(one.astype(int) - other.astype(int)).max() <= 1


def test_catalogue_an_image_carries_its_prompt_to_a_worker(client, tmp_path):
    """Saved here, uploaded there by the route of images: the same image to the bit, by either node that loads prompts; plain
    Load Image opens the file too. A file saved anew by Pillow is refused in one sentence."""
    demo = Demo()
    prompt = demo.encoded()
    saved = demo.add(
        "IPAdapterCoreSave", image_prompt=prompt, filename_prefix="travel/blue", form="PNG", image=demo.reference
    )
    seen = demo.add("IPAdapterCoreSave", image_prompt=prompt, filename_prefix="travel/seen", form="PNG")
    direct, drawn = demo.sampled(prompt), demo.add("PreviewImage", images=demo.reference)
    outputs = client.run(demo.prompt())
    wanted, reference = (pixels(client, outputs, node) for node in (direct, drawn))
    assert same(pixels(client, outputs, saved), reference) and pixels(client, outputs, seen).shape == (64, 64, 3)
    (name,) = outputs[str(saved.number)]["text"]
    file = tmp_path / "blue.png"
    file.write_bytes(client.picture(outputs[str(saved.number)]["images"][0]))

    there = Demo()
    kept = there.add("IPAdapterCoreLoadPrompt", file=name, negative_file="none")
    sent = there.add("IPAdapterCoreLoadPromptPNG", image=client.upload(file))
    results = [there.sampled(node[0]) for node in (kept, sent)]
    opened = there.add("PreviewImage", images=there.add("LoadImage", image=file.name)[0])
    outputs = client.run(there.prompt())
    assert all((pixels(client, outputs, node) == wanted).all() for node in results)
    assert same(pixels(client, outputs, opened), reference)
    assert "1 image of 64 x 64" in outputs[str(sent.number)]["text"][0]
    offered = [client.get(f"/object_info/{node}")[node]["input"]["required"] for node in (PNG, LOAD)]
    assert file.name in str(offered[0]["image"]) and name in str(offered[1]["file"])

    Image.open(file).copy().save(file := tmp_path / "anew.png")
    sent.inputs["image"] = client.upload(file)
    assert file.name not in str(client.get(f"/object_info/{PNG}")[PNG]["input"]["required"]["image"])
    with pytest.raises(GraphError, match="anew.png: it is an image without an image prompt, which programs that save"):
        client.run(there.prompt())
    outside = Demo()
    outside.sampled(outside.add("IPAdapterCoreLoadPromptPNG", image="../../outside.png")[0])
    with pytest.raises(GraphError, match="image: found '../../outside.png', expected one of"):
        client.run(outside.prompt())


PNG, LOAD = "IPAdapterCoreLoadPromptPNG", "IPAdapterCoreLoadPrompt"


def test_catalogue_load_image_opens_the_largest_prompt(client, tmp_path):
    """The limit is what ComfyUI's own node can open: 64 MB of text before the pixels."""
    file, shown = tmp_path / "large.png", torch.full((16, 24, 3), 77, dtype=torch.uint8)
    file.write_bytes(with_prompt(os.urandom(PNG_PROMPT_BYTES), shown))
    graph = Graph()
    opened = graph.add("PreviewImage", images=graph.add("LoadImage", image=client.upload(file))[0])
    assert (pixels(client, client.run(graph.prompt()), opened) == shown.numpy()).all()
