"""A growing workflow on the demo world, posted to a real server, and its images."""

import io

import numpy as np
from pack.tools.workflows.graph import Graph
from PIL import Image

ADAPTER = "demo_world_ip_adapter.safetensors"
RED, BLUE = (0.86, 0.12, 0.12), (0.12, 0.24, 0.85)


class Bench:
    """A growing workflow on the demo world, and its images when it has run."""

    def __init__(self, client):
        self.client, self.graph = client, Graph()
        self.model, self.clip, self.vae, self.encoder, _ = (self.graph.add("DemoWorldLoad")[slot] for slot in range(5))
        self.adapter = self.graph.add("IPAdapterCoreLoad", ip_adapter_name=ADAPTER)[0]

    def drawn(self, colour, count=1, seed=3, **more):
        """A plain image in one colour, a little of another shade in it."""
        words = {"shape": "circle", "object_colour": colour, "background_colour": colour, "object_texture": "plain",
                 "background_texture": "plain", "size": 64, "batch_size": count, "seed": seed}  # fmt: skip
        return self.graph.add("DemoWorldPicture", **words | more)

    def encoded(self, image, kind="IPAdapterCoreEncode", **more):
        fit = {"fit": "as trained"} if kind != "IPAdapterCoreEncodeTiled" else {}
        return self.graph.add(kind, ip_adapter=self.adapter, image=image, clip_vision=self.encoder, **fit, **more)[0]

    def applied(self, prompt, model=None, **more):
        values = {"weight": 1.0, "start_percent": 0.0, "end_percent": 1.0} | more
        return self.graph.add(
            "IPAdapterCoreApply", model=model or self.model, ip_adapter=self.adapter, image_prompt=prompt, **values
        )[0]

    def words(self, text):
        return self.graph.add("CLIPTextEncode", clip=self.clip, text=text)[0]

    def sampled(self, model, positive=None, count=1, steps=8):
        latent = self.graph.add("EmptyChromaRadianceLatentImage", width=64, height=64, batch_size=count)[0]
        noise = self.graph.add(
            "KSampler", model=model, seed=1, steps=steps, cfg=2.0, sampler_name="euler", scheduler="simple",
            positive=positive or self.words("circle"), negative=self.words(""), latent_image=latent, denoise=1.0,
        )  # fmt: skip
        return self.shown(self.graph.add("VAEDecode", samples=noise[0], vae=self.vae)[0])

    def shown(self, image):
        return self.graph.add("PreviewImage", images=image)

    def masks(self, masks):
        return self.shown(self.graph.add("MaskToImage", mask=masks)[0])

    def run(self):
        """Runs; then `pictures` are there."""
        self.outputs = self.client.run(self.graph.prompt())

    def pictures(self, node):
        """What a node shows, (B, H, W, 3) in 0..1."""
        found = [self.client.picture(entry) for entry in self.outputs[str(node.number)]["images"]]
        return np.stack([np.asarray(Image.open(io.BytesIO(one)).convert("RGB")) for one in found]) / 255


def nearer(part, one, other):
    """How much nearer a part's mean colour is to one colour than to another."""
    mean = part.reshape(-1, 3).mean(axis=0)
    return np.linalg.norm(mean - other) - np.linalg.norm(mean - one)


def half_masks(bench):
    """White on the left, white on the right."""
    left = bench.graph.add("SolidMask", value=1.0, width=32, height=64)[0]
    canvas = bench.graph.add("SolidMask", value=0.0, width=64, height=64)[0]
    joined = {"destination": canvas, "source": left, "y": 0, "operation": "add"}
    return [bench.graph.add("MaskComposite", x=x, **joined)[0] for x in (0, 32)]
