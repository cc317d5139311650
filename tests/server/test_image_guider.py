"""Image Prompt Guider in a real server: beside ComfyUI's own guider through SamplerCustomAdvanced, on the demo world."""

import io

import numpy
import pytest
from pack.tools.workflows.graph import Graph
from PIL import Image

pytestmark = pytest.mark.catalogue

ADAPTER = "demo_world_ip_adapter.safetensors"
DRAWN = {"shape": "circle", "object_colour": "yellow", "background_colour": "blue", "object_texture": "plain",
         "background_texture": "striped", "size": 64, "batch_size": 1, "seed": 3}  # fmt: skip
WINDOW = {"weight": 1.0, "start_percent": 0.0, "end_percent": 1.0}
ORDERS = ("image, then text", "text, then image")


class Demo(Graph):
    """A workflow on the demo world, whose images are made by guiders."""

    def __init__(self):
        super().__init__()
        world = self.add("DemoWorldLoad")
        self.model, clip, self.vae, encoder = (world[slot] for slot in range(4))
        self.texts = {
            side: self.add("CLIPTextEncode", clip=clip, text=text)[0]
            for side, text in (("positive", "a star"), ("negative", ""))
        }
        adapter = self.add("IPAdapterCoreLoad", ip_adapter_name=ADAPTER)[0]
        given = {"ip_adapter": adapter, "image": self.add("DemoWorldPicture", **DRAWN)[0], "clip_vision": encoder}
        prompt = self.add("IPAdapterCoreEncode", **given, fit="as trained")[0]
        self.applied = self.add(
            "IPAdapterCoreApply", model=self.model, ip_adapter=adapter, image_prompt=prompt, **WINDOW
        )[0]

    def guided(self, node, model, **inputs):
        """An image in four steps."""
        guider = self.add(node, model=model, **self.texts, **inputs)[0]
        sampled = self.add(
            "SamplerCustomAdvanced",
            guider=guider,
            noise=self.add("RandomNoise", noise_seed=1)[0],
            sampler=self.add("KSamplerSelect", sampler_name="euler")[0],
            sigmas=self.add("BasicScheduler", model=model, scheduler="simple", steps=4, denoise=1.0)[0],
            latent_image=self.add("EmptyChromaRadianceLatentImage", width=64, height=64, batch_size=1)[0],
        )[0]
        return self.add("PreviewImage", images=self.add("VAEDecode", samples=sampled, vae=self.vae)[0])


def test_catalogue_scales_of_text_and_image(client):
    """Alike, both orders are ComfyUI's guider; apart, neither is, nor are they the same; without a reference the text alone
    counts."""
    demo = Demo()
    wanted = demo.guided("CFGGuider", demo.applied, cfg=2.0)
    plain = demo.guided("CFGGuider", demo.model, cfg=2.0)

    def ours(model, image_scale):
        scales = {"text_scale": 2.0, "image_scale": image_scale}
        return [demo.guided("IPAdapterCoreImageGuider", model, **scales, order=order) for order in ORDERS]

    alike, apart, bare = ours(demo.applied, 2.0), ours(demo.applied, 4.0), ours(demo.model, 4.0)
    outputs = client.run(demo.prompt())

    def pixels(node):
        (shown,) = outputs[str(node.number)]["images"]
        return numpy.asarray(Image.open(io.BytesIO(client.picture(shown)))).astype(int)

    assert all((pixels(node) == pixels(wanted)).all() for node in alike)
    assert all((pixels(node) == pixels(plain)).all() for node in bare)
    results = [pixels(node) for node in (wanted, *apart)]
    assert all(abs(results[one] - results[other]).mean() > 1 for one, other in ((0, 1), (0, 2), (1, 2)))
