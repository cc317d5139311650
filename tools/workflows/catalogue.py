"""The workflows in `workflows/`, as data; `python3 dev.py workflows` writes the files from here."""

from ..workflows import apps as workflows_apps
from ..workflows import by_task as workflows_by_task
from ..workflows import diagnostics as workflows_seeing
from ..workflows import instant_character as workflows_character
from ..workflows import lynx as workflows_lynx
from ..workflows import pulid as workflows_pulid
from ..workflows import training as workflows_training
from ..workflows import transformers as workflows_dit
from .graph import Graph, Output

HUB = "https://huggingface.co"
ENCODER_H = {
    "name": "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors",
    "url": f"{HUB}/h94/IP-Adapter/resolve/main/models/image_encoder/model.safetensors",
    "directory": "clip_vision",
}
SD15 = {
    "name": "v1-5-pruned-emaonly-fp16.safetensors",
    "url": f"{HUB}/Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/v1-5-pruned-emaonly-fp16.safetensors",
    "directory": "checkpoints",
}
SDXL = {
    "name": "sd_xl_base_1.0.safetensors",
    "url": f"{HUB}/stabilityai/stable-diffusion-xl-base-1.0/resolve/main/sd_xl_base_1.0.safetensors",
    "directory": "checkpoints",
}
ADAPTER_SD15 = {
    "name": "ip-adapter_sd15.safetensors",
    "url": f"{HUB}/h94/IP-Adapter/resolve/main/models/ip-adapter_sd15.safetensors",
    "directory": "ipadapter",
}
ADAPTER_SDXL = {
    "name": "ip-adapter-plus_sdxl_vit-h.safetensors",
    "url": f"{HUB}/h94/IP-Adapter/resolve/main/sdxl_models/ip-adapter-plus_sdxl_vit-h.safetensors",
    "directory": "ipadapter",
}
CANNY_SDXL = {
    "name": "controlnet-canny-sdxl-1.0.fp16.safetensors",
    "url": f"{HUB}/diffusers/controlnet-canny-sdxl-1.0/resolve/main/diffusion_pytorch_model.fp16.safetensors",
    "directory": "controlnet",
}


def demo_text_and_reference() -> Graph:
    """The demo world: a text names the shape, an image brings the colours.

    The smallest whole workflow: Load IP-Adapter, Encode Reference Image, Apply IP-Adapter, and a sampler.
    """
    graph, (model, clip, vae, encoder, _) = _demo_world()
    reference = _demo_reference(graph)
    steered = _steered(graph, model, encoder, reference, "demo_world_ip_adapter.safetensors")
    _sampled(graph, steered, _texts(graph, clip, "a star"), vae, size=64)
    return graph


def demo_reference_and_controlnet() -> Graph:
    """The demo world: text, reference and an outline that a ControlNet follows.

    The adapter goes on the model and the ControlNet on the conditioning, so neither knows of the other.
    """
    graph, (model, clip, vae, encoder, control) = _demo_world()
    reference = _demo_reference(graph)
    steered = _steered(graph, model, encoder, reference, "demo_world_ip_adapter.safetensors")
    layout = graph.add("DemoWorldPicture", "Outline", shape="star", seed=5)
    texts = _controlled(graph, _texts(graph, clip, "a star"), control, layout[1], vae)
    _sampled(graph, steered, texts, vae, size=64)
    return graph


def sd15_basic() -> Graph:
    """SD1.5 with the base adapter, the lightest way to begin.

    It follows the reference loosely; when the prompt has too little effect, lower the weight of Apply IP-Adapter.
    """
    graph, (model, clip, vae) = _checkpoint(SD15)
    reference = graph.add("LoadImage", "Reference", image="example.png")[0]
    steered = _steered(graph, model, _encoder(graph), reference, ADAPTER_SD15["name"], ADAPTER_SD15, weight=0.8)
    texts = _texts(graph, clip, "a cosy living room, soft light", "blurry, low quality")
    _sampled(graph, steered, texts, vae, size=512, cfg=7.0, steps=25, sampler=("dpmpp_2m", "karras"))
    return graph


def sdxl_plus() -> Graph:
    """SDXL with the plus adapter, which follows the reference closely.

    Add Layer Weights with "style transfer" to take the style alone.
    """
    graph, (model, clip, vae) = _checkpoint(SDXL)
    steered, _ = _sdxl_steered(graph, model)
    texts = _texts(graph, clip, "a cosy living room, soft light", "blurry, low quality")
    _sampled(graph, steered, texts, vae, size=1024, cfg=6.0, steps=30, sampler=("dpmpp_2m", "karras"))
    return graph


def sdxl_plus_controlnet() -> Graph:
    """SDXL with the plus adapter for the style and a Canny ControlNet for the layout.

    Two images go in: the reference, and the one whose edges are kept.
    """
    graph, (model, clip, vae) = _checkpoint(SDXL)
    steered, _ = _sdxl_steered(graph, model, weight=0.7)
    layout = graph.add("LoadImage", "Layout", image="example.png")
    edges = graph.add("Canny", image=layout[0], low_threshold=0.2, high_threshold=0.5)
    control = graph.add("ControlNetLoader", None, [CANNY_SDXL], control_net_name=CANNY_SDXL["name"])
    texts = _texts(graph, clip, "a cosy living room, soft light", "blurry, low quality")
    texts = _controlled(graph, texts, control[0], edges[0], vae, strength=0.6)
    _sampled(graph, steered, texts, vae, size=1024, cfg=6.0, steps=30, sampler=("dpmpp_2m", "karras"))
    return graph


GRAPHS = {
    "demo_text_and_reference": demo_text_and_reference,
    "demo_reference_and_controlnet": demo_reference_and_controlnet,
    "sd15_basic": sd15_basic,
    "sdxl_plus": sdxl_plus,
    "sdxl_plus_controlnet": sdxl_plus_controlnet,
    **workflows_apps.GRAPHS,
    **workflows_by_task.GRAPHS,
    **workflows_seeing.GRAPHS,
    **workflows_dit.GRAPHS,
    **workflows_pulid.GRAPHS,
    **workflows_character.GRAPHS,
    **workflows_training.GRAPHS,
    **workflows_lynx.GRAPHS,
}


def _demo_world() -> tuple[Graph, tuple[Output, ...]]:
    graph = Graph()
    world = graph.add("DemoWorldLoad")
    return graph, tuple(world[slot] for slot in range(5))


def _demo_reference(graph: Graph) -> Output:
    colours = {"object_colour": "yellow", "background_colour": "blue", "background_texture": "striped"}
    return graph.add("DemoWorldPicture", "Reference", shape="circle", seed=11, **colours)[0]


def _checkpoint(file: dict[str, str]) -> tuple[Graph, tuple[Output, ...]]:
    graph = Graph()
    loader = graph.add("CheckpointLoaderSimple", None, [file], ckpt_name=file["name"])
    return graph, (loader[0], loader[1], loader[2])


def _encoder(graph: Graph) -> Output:
    return graph.add("CLIPVisionLoader", None, [ENCODER_H], clip_name=ENCODER_H["name"])[0]


def _sdxl_steered(graph: Graph, model: Output, weight: float = 0.8) -> tuple[Output, Output]:
    reference = graph.add("LoadImage", "Reference", image="example.png")[0]
    steered = _steered(graph, model, _encoder(graph), reference, ADAPTER_SDXL["name"], ADAPTER_SDXL, weight=weight)
    return steered, reference


def _steered(
    graph: Graph, model, encoder, reference, name: str, file: dict | None = None, weight: float = 1.0
) -> Output:
    adapter = graph.add("IPAdapterCoreLoad", None, [file] if file else [], ip_adapter_name=name)
    prompt = graph.add("IPAdapterCoreEncode", ip_adapter=adapter[0], image=reference, clip_vision=encoder, fit="center")
    return graph.add(
        "IPAdapterCoreApply", model=model, ip_adapter=adapter[0], image_prompt=prompt[0], weight=weight,
        start_percent=0.0, end_percent=1.0,
    )[0]  # fmt: skip


def _texts(graph: Graph, clip: Output, positive: str, negative: str = "") -> tuple[Output, Output]:
    return tuple(
        graph.add("CLIPTextEncode", title, clip=clip, text=text)[0]
        for title, text in (("Prompt", positive), ("Negative prompt", negative))
    )  # type: ignore[return-value]


def _controlled(graph: Graph, texts, control: Output, picture: Output, vae: Output, strength: float = 1.0):
    node = graph.add(
        "ControlNetApplyAdvanced", positive=texts[0], negative=texts[1], control_net=control, image=picture, vae=vae,
        strength=strength, start_percent=0.0, end_percent=1.0,
    )  # fmt: skip
    return node[0], node[1]


def _sampled(graph: Graph, model, texts, vae, size: int, cfg=2.0, steps=20, sampler=("euler", "simple")) -> None:
    latent = {"width": size, "height": size, "batch_size": 1}
    empty = graph.add("EmptyChromaRadianceLatentImage" if size == 64 else "EmptyLatentImage", **latent)
    noise = graph.add(
        "KSampler", model=model, seed=1, steps=steps, cfg=cfg, sampler_name=sampler[0], scheduler=sampler[1],
        positive=texts[0], negative=texts[1], latent_image=empty[0], denoise=1.0,
    )  # fmt: skip
    picture = graph.add("VAEDecode", samples=noise[0], vae=vae)
    graph.add("SaveImage", images=picture[0], filename_prefix="ip_adapter")
