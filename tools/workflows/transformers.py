"""The workflows for transformer models, as data; `tools/workflows/catalogue.py` lists them."""

from collections.abc import Callable

from .graph import Graph, Node, Output

HUB = "https://huggingface.co"
PROMPT = "a cosy living room, soft light"


def _file(name: str, address: str, directory: str) -> dict[str, str]:
    return {"name": name, "url": f"{HUB}/{address}", "directory": directory}


ANIMA = "circlestone-labs/Anima/resolve/main/split_files"
FLUX = _file("flux1-dev-fp8.safetensors", "Comfy-Org/flux1-dev/resolve/main/flux1-dev-fp8.safetensors", "checkpoints")
SD35 = _file(
    "sd3.5_large_fp8_scaled.safetensors",
    "Comfy-Org/stable-diffusion-3.5-fp8/resolve/main/sd3.5_large_fp8_scaled.safetensors",
    "checkpoints",
)
ANIMA_MODEL = _file(
    "anima-base-v1.0.safetensors", f"{ANIMA}/diffusion_models/anima-base-v1.0.safetensors", "diffusion_models"
)
ANIMA_TEXT = _file("qwen_3_06b_base.safetensors", f"{ANIMA}/text_encoders/qwen_3_06b_base.safetensors", "text_encoders")
ANIMA_VAE = _file("qwen_image_vae.safetensors", f"{ANIMA}/vae/qwen_image_vae.safetensors", "vae")
CLIP_L = _file(
    "clip-vit-large-patch14.safetensors", "openai/clip-vit-large-patch14/resolve/main/model.safetensors", "clip_vision"
)
SIGLIP = _file(
    "sigclip_vision_patch14_384.safetensors",
    "Comfy-Org/sigclip_vision_384/resolve/main/sigclip_vision_patch14_384.safetensors",
    "clip_vision",
)
SIGLIP2 = _file(
    "siglip2-base-patch16-512.safetensors",
    "google/siglip2-base-patch16-512/resolve/main/model.safetensors",
    "clip_vision",
)
XLABS = _file(
    "flux-ip-adapter-v2.safetensors", "XLabs-AI/flux-ip-adapter-v2/resolve/main/ip_adapter.safetensors", "ipadapter"
)
INSTANTX_FLUX = _file(
    "instantx-flux1-dev-ip-adapter.bin", "InstantX/FLUX.1-dev-IP-Adapter/resolve/main/ip-adapter.bin", "ipadapter"
)
INSTANTX_SD35 = _file(
    "instantx-sd3.5-large-ip-adapter.bin", "InstantX/SD3.5-Large-IP-Adapter/resolve/main/ip-adapter.bin", "ipadapter"
)
LUCIFER = _file(
    "ip_adapter-Character_Reference-10.safetensors",
    "LuciferTC/Anima-IP-Adapter/resolve/main/ip_adapter-Character_Reference-10.safetensors",
    "ipadapter",
)


def flux_xlabs() -> Graph:
    """FLUX.1 dev with XLabs' second adapter, without a negative.

    CFG stays at 1; weight 0.8 to 1.
    """
    return _flux(XLABS, CLIP_L, "CLIPVisionLoader", weight=0.9)


def flux_instantx() -> Graph:
    """FLUX.1 dev with InstantX' adapter, which reads SigLIP's pooling head.

    Load Image Encoder keeps that head, the stock loader does not.
    """
    return _flux(INSTANTX_FLUX, SIGLIP, "IPAdapterCoreLoadEncoder", weight=0.7)


def sd35_instantx() -> Graph:
    """SD3.5 Large with InstantX' adapter, whose image tokens change with every step.

    Weight 0.4 to 0.7.
    """
    graph = Graph()
    loader = graph.add("CheckpointLoaderSimple", None, [SD35], ckpt_name=SD35["name"])
    steered = _steered(graph, loader[0], INSTANTX_SD35, SIGLIP, "CLIPVisionLoader", weight=0.6)
    texts = _texts(graph, loader[1], PROMPT, "blurry, low quality")
    _sampled(graph, steered, texts, loader[2], "EmptySD3LatentImage", cfg=4.5, steps=28)
    return graph


def anima_character() -> Graph:
    """Anima with LuciferTC's character reference; the LoRA in its file comes along.

    The reference is padded to a square, so that the whole figure is seen.
    """
    graph = Graph()
    model = graph.add("UNETLoader", None, [ANIMA_MODEL], unet_name=ANIMA_MODEL["name"], weight_dtype="default")
    clip = graph.add(
        "CLIPLoader", None, [ANIMA_TEXT], clip_name=ANIMA_TEXT["name"], type="stable_diffusion", device="default"
    )
    vae = graph.add("VAELoader", None, [ANIMA_VAE], vae_name=ANIMA_VAE["name"])
    steered = _steered(graph, model[0], LUCIFER, SIGLIP2, "IPAdapterCoreLoadEncoder", weight=1.0)
    words = ("a girl reading in a cosy living room, anime illustration", "worst quality, low quality, blurry")
    texts = _texts(graph, clip[0], *words)
    _sampled(graph, steered, texts, vae[0], "EmptyLatentImage", cfg=4.0, steps=30)
    return graph


GRAPHS: dict[str, Callable[[], Graph]] = {
    "flux_xlabs": flux_xlabs,
    "flux_instantx": flux_instantx,
    "sd35_instantx": sd35_instantx,
    "anima_character": anima_character,
}


def _flux(adapter: dict[str, str], encoder: dict[str, str], loader: str, weight: float) -> Graph:
    graph = Graph()
    checkpoint = graph.add("CheckpointLoaderSimple", None, [FLUX], ckpt_name=FLUX["name"])
    flux_sampled(graph, checkpoint, _steered(graph, checkpoint[0], adapter, encoder, loader, weight), PROMPT)
    return graph


def flux_sampled(graph: Graph, checkpoint: Node, model: Output, words: str) -> None:
    """FLUX.1 dev's own way to an image: no negative, guidance as a condition."""
    text = graph.add("CLIPTextEncode", "Prompt", clip=checkpoint[1], text=words)
    guided = graph.add("FluxGuidance", conditioning=text[0], guidance=3.5)
    nothing = graph.add("ConditioningZeroOut", conditioning=text[0])
    _sampled(graph, model, [guided[0], nothing[0]], checkpoint[2], "EmptySD3LatentImage", cfg=1.0, steps=20)


def _steered(
    graph: Graph, model: Output, file: dict[str, str], encoder: dict[str, str], loader: str, weight: float
) -> Output:
    name = "clip_name" if loader == "CLIPVisionLoader" else "encoder_name"
    vision = graph.add(loader, None, [encoder], **{name: encoder["name"]})
    reference = graph.add("LoadImage", "Reference", image="example.png")
    adapter = graph.add("IPAdapterCoreLoad", None, [file], ip_adapter_name=file["name"])
    prompt = graph.add(
        "IPAdapterCoreEncode", ip_adapter=adapter[0], image=reference[0], clip_vision=vision[0], fit="as trained"
    )
    return graph.add(
        "IPAdapterCoreApply", model=model, ip_adapter=adapter[0], image_prompt=prompt[0], weight=weight, start_percent=0.0,
        end_percent=1.0,
    )[0]  # fmt: skip


def _texts(graph: Graph, clip: Output, *texts: str) -> list[Output]:
    titles = ("Prompt", "Negative prompt")
    return [
        graph.add("CLIPTextEncode", title, clip=clip, text=text)[0] for title, text in zip(titles, texts, strict=True)
    ]


def _sampled(graph: Graph, model: Output, texts: list[Output], vae: Output, empty: str, cfg: float, steps: int) -> None:
    latent = graph.add(empty, width=1024, height=1024, batch_size=1)
    noise = graph.add(
        "KSampler", model=model, seed=1, steps=steps, cfg=cfg, sampler_name="euler", scheduler="simple", positive=texts[0],
        negative=texts[1], latent_image=latent[0], denoise=1.0,
    )  # fmt: skip
    picture = graph.add("VAEDecode", samples=noise[0], vae=vae)
    graph.add("SaveImage", images=picture[0], filename_prefix="ip_adapter")
