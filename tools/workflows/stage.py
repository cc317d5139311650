"""What a task's workflow stands on, in the demo world or with published files: models, references, words, a sampler."""

from dataclasses import dataclass, field
from typing import Any

from .graph import Graph, Node, Output

HUB = "https://huggingface.co"


def file(name: str, address: str, directory: str) -> dict[str, str]:
    """A file as the browser offers it for download."""
    return {"name": name, "url": f"{HUB}/{address}", "directory": directory}


ENCODER = file(
    "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors",
    "h94/IP-Adapter/resolve/main/models/image_encoder/model.safetensors",
    "clip_vision",
)
DEMO_ADAPTER = "demo_world_ip_adapter.safetensors"
DRAWN = {"shape": "any", "object_colour": "any", "background_colour": "any", "object_texture": "plain"} | {
    "background_texture": "plain", "size": 64, "batch_size": 1,
}  # fmt: skip


@dataclass(frozen=True)
class World:
    """Where a workflow runs: the files that it wants (none in the demo world), sizes and a sampler's settings."""

    checkpoint: dict[str, str] = field(default_factory=dict)
    adapter: dict[str, str] = field(default_factory=dict)
    size: int = 64
    sampling: tuple[Any, ...] = (20, 2.0, "euler", "simple")  # steps, CFG, sampler, scheduler
    negative: str = ""

    @property
    def demo(self) -> bool:
        """Whether this is the demo world."""
        return not self.checkpoint


DEMO = World()
SDXL = World(
    file("sd_xl_base_1.0.safetensors", "stabilityai/stable-diffusion-xl-base-1.0/resolve/main/sd_xl_base_1.0.safetensors",
         "checkpoints"),
    file("ip-adapter-plus_sdxl_vit-h.safetensors",
         "h94/IP-Adapter/resolve/main/sdxl_models/ip-adapter-plus_sdxl_vit-h.safetensors", "ipadapter"),
    1024, (30, 6.0, "dpmpp_2m", "karras"), "blurry, low quality",
)  # fmt: skip
SD15 = World(
    file("v1-5-pruned-emaonly-fp16.safetensors",
         "Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/v1-5-pruned-emaonly-fp16.safetensors", "checkpoints"),
    file("ip-adapter-plus_sd15.safetensors", "h94/IP-Adapter/resolve/main/models/ip-adapter-plus_sd15.safetensors",
         "ipadapter"),
    512, (25, 7.0, "dpmpp_2m", "karras"), "blurry, low quality",
)  # fmt: skip


class Stage:
    """A workflow that has its models, and grows by a task's nodes. Where two texts go in, the first is the demo world's."""

    def __init__(self, world: World):
        self.world, self.graph = world, Graph()
        adapter, self.control = DEMO_ADAPTER, None
        if world.demo:
            models = self.graph.add("DemoWorldLoad")
            self.encoder, self.control = models[3], models[4]
        else:
            models = self.graph.add(
                "CheckpointLoaderSimple", None, [world.checkpoint], ckpt_name=world.checkpoint["name"]
            )
            self.encoder = self.graph.add("CLIPVisionLoader", None, [ENCODER], clip_name=ENCODER["name"])[0]
            adapter = world.adapter["name"]
        self.model, self.clip, self.vae = models[0], models[1], models[2]
        files = [world.adapter] if world.adapter else []
        self.adapter = self.graph.add("IPAdapterCoreLoad", None, files, ip_adapter_name=adapter)[0]

    def picture(self, title: str, seed: int, **words: str) -> Node:
        """A drawing of the demo world, or an image to be replaced by one's own; output 0 is the image."""
        if not self.world.demo:
            return self.graph.add("LoadImage", title, image="example.png")
        return self.graph.add("DemoWorldPicture", title, seed=seed, **(DRAWN | words))

    def encode(self, image: Output, fit: str = "center", **inputs: Any) -> Output:
        """*Encode Reference Image*."""
        given = {"ip_adapter": self.adapter, "image": image, "clip_vision": self.encoder, "fit": fit}
        return self.graph.add("IPAdapterCoreEncode", **(given | inputs))[0]

    def combine(self, method: str, *prompts: Output) -> Output:
        """*Combine Image Prompts*."""
        sockets = {f"image_prompts.image_prompt{number}": prompt for number, prompt in enumerate(prompts)}
        return self.graph.add("IPAdapterCoreCombine", method=method, **sockets)[0]

    def layers(self, preset: str, demo_blocks: str) -> Output:
        """*Layer Weights*: the preset; in the demo world, whose blocks no preset knows, these blocks."""
        given = {"preset": "linear", "blocks": demo_blocks} if self.world.demo else {"preset": preset, "blocks": ""}
        return self.graph.add("IPAdapterCoreLayerWeights", **given)[0]

    def apply(self, prompt: Output, weight: float = 1.0, **inputs: Any) -> None:
        """*Apply IP-Adapter* on the model as it is by now."""
        given = {"model": self.model, "ip_adapter": self.adapter, "image_prompt": prompt, "weight": weight}
        window = {"start_percent": 0.0, "end_percent": 1.0}
        self.model = self.graph.add("IPAdapterCoreApply", **(given | window | inputs))[0]

    def say(self, demo: str, real: str, title: str = "Prompt") -> Output:
        """A text, encoded."""
        text = demo if self.world.demo else real
        return self.graph.add("CLIPTextEncode", title, clip=self.clip, text=text)[0]

    def say_each(self, demo: str, real: str) -> Output:
        """A text for each image of the batch, a line each."""
        lines = demo if self.world.demo else real
        inputs = {"clip": self.clip, "prompts": lines, "frames_each": 1}
        return self.graph.add("IPAdapterCorePromptsOverFrames", "A prompt for each image", **inputs)[0]

    def blank(self, count: Any = 1) -> Output:
        """As many empty latents."""
        kind = "EmptyChromaRadianceLatentImage" if self.world.demo else "EmptyLatentImage"
        return self.graph.add(kind, width=self.world.size, height=self.world.size, batch_size=count)[0]

    def sample(self, positive: Output, latent: Output | None = None, denoise: float = 1.0, negative=None) -> Output:
        """A sampler on the model, its images saved."""
        steps, cfg, sampler, scheduler = self.world.sampling
        if negative is None:
            negative = self.say("", self.world.negative, "Negative prompt")
        noise = self.graph.add(
            "KSampler", model=self.model, seed=1, steps=steps, cfg=cfg, sampler_name=sampler, scheduler=scheduler,
            positive=positive, negative=negative, latent_image=self.blank() if latent is None else latent, denoise=denoise,
        )  # fmt: skip
        pictures = self.graph.add("VAEDecode", samples=noise[0], vae=self.vae)[0]
        self.graph.add("SaveImage", images=pictures, filename_prefix="ip_adapter")
        return pictures
