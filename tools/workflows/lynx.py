"""The workflows for Lynx on Wan, as data; `tools/workflows/catalogue.py` lists them."""

from collections.abc import Callable

from .graph import Graph, Node, Output

HUB = "https://huggingface.co"
WAN21 = f"{HUB}/Comfy-Org/Wan_2.1_ComfyUI_repackaged/resolve/main/split_files"
WAN22 = f"{HUB}/Comfy-Org/Wan_2.2_ComfyUI_Repackaged/resolve/main/split_files"
LYNX = f"{HUB}/Kijai/WanVideo_comfy/resolve/main/Lynx"
NEGATIVE = "overexposed, static, blurred details, subtitles, worst quality, deformed face"
FRAMES, RATE = 81, 16.0


def _file(folder: str, name: str, directory: str) -> dict[str, str]:
    return {"name": name, "url": f"{folder}/{name}", "directory": directory}


LAYERS = _file(LYNX, "Wan2_1-T2V-14B-Lynx_lite_ip_layers_fp16.safetensors", "ipadapter")
RESAMPLER = _file(LYNX, "lynx_lite_resampler_fp32.safetensors", "ipadapter")
MODEL = _file(f"{WAN21}/diffusion_models", "wan2.1_t2v_14B_fp8_scaled.safetensors", "diffusion_models")
HIGH, LOW = (
    _file(f"{WAN22}/diffusion_models", f"wan2.2_t2v_{noise}_noise_14B_fp8_scaled.safetensors", "diffusion_models")
    for noise in ("high", "low")
)
TEXT = _file(f"{WAN21}/text_encoders", "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "text_encoders")
VAE = _file(f"{WAN21}/vae", "wan_2.1_vae.safetensors", "vae")
ARCFACE = {
    "name": "recognition_arcface_ir_se50.pth",
    "url": "https://github.com/xinntao/facexlib/releases/download/v0.1.0/recognition_arcface_ir_se50.pth",
    "directory": "facexlib",
}


def wan_lynx() -> Graph:
    """Wan 2.1 14B with Lynx lite: the person of a photograph in a video that the text describes.

    Load IP-Adapter takes the layers and finds the resampler beside them; Load Face Analysis wants IR-SE50 in models/facexlib.
    """
    stage = _Stage()
    steered = stage.steered(MODEL)
    positive, negative = stage.texts("portrait of a person in a library, turning a page and looking up")
    video = stage.graph.add(
        "KSampler", model=steered, seed=1, steps=30, cfg=5.0, sampler_name="uni_pc", scheduler="simple",
        positive=positive, negative=negative, latent_image=stage.empty(), denoise=1.0,
    )  # fmt: skip
    return stage.finished(video[0])


def wan22_lynx() -> Graph:
    """Wan 2.2 14B with Lynx lite: both of its models are given the same adapter and image prompt.

    The first samples the noisy half of the steps, the second the rest.
    """
    stage = _Stage()
    high, low = stage.steered(HIGH, "Noisy steps"), stage.steered(LOW, "Clean steps")
    positive, negative = stage.texts("portrait of a person on a pier at dusk, the wind in the hair, looking out to sea")
    common = {
        "noise_seed": 1, "steps": 20, "cfg": 3.5, "sampler_name": "euler", "scheduler": "simple", "positive": positive,
        "negative": negative,
    }  # fmt: skip
    first = stage.graph.add(
        "KSamplerAdvanced", "Noisy steps", model=high, add_noise="enable", latent_image=stage.empty(), start_at_step=0,
        end_at_step=10, return_with_leftover_noise="enable", **common,
    )  # fmt: skip
    second = stage.graph.add(
        "KSamplerAdvanced", "Clean steps", model=low, add_noise="disable", latent_image=first[0], start_at_step=10,
        end_at_step=10000, return_with_leftover_noise="disable", **common,
    )  # fmt: skip
    return stage.finished(second[0])


GRAPHS: dict[str, Callable[[], Graph]] = {"wan_lynx": wan_lynx, "wan22_lynx": wan22_lynx}


class _Stage:
    """What both workflows have: the adapter, whom it knows, the text encoder, and the way to a video."""

    def __init__(self) -> None:
        self.graph = Graph()
        self.adapter: Node = self.graph.add(
            "IPAdapterCoreLoad",
            None,
            [LAYERS, RESAMPLER],
            ip_adapter_name=LAYERS["name"],
            resampler_name="auto",
        )
        self.analysis = self.graph.add(
            "IPAdapterCoreLoadFaceAnalysis", None, [ARCFACE], model_name="buffalo_l", provider="CPU"
        )
        picture = self.graph.add("LoadImage", "Person", image="example.png")
        self.person = self.graph.add(
            "IPAdapterCoreEncodeFace", ip_adapter=self.adapter[0], image=picture[0], insightface=self.analysis[0],
            pick="largest", index=0, no_face="fail", several="concatenate", plus_version="auto", structure=1.0,
        )[0]  # fmt: skip

    def steered(self, file: dict[str, str], title: str | None = None) -> Output:
        """A Wan with the person applied."""
        model = self.graph.add("UNETLoader", title, [file], unet_name=file["name"], weight_dtype="default")
        shifted = self.graph.add("ModelSamplingSD3", title, model=model[0], shift=8.0)
        return self.graph.add(
            "IPAdapterCoreApply", title, model=shifted[0], ip_adapter=self.adapter[0], image_prompt=self.person, weight=1.0,
            start_percent=0.0, end_percent=1.0,
        )[0]  # fmt: skip

    def texts(self, words: str) -> list[Output]:
        """A positive and a negative prompt."""
        clip = self.graph.add("CLIPLoader", None, [TEXT], clip_name=TEXT["name"], type="wan", device="default")
        pair = (("Prompt", words), ("Negative prompt", NEGATIVE))
        return [self.graph.add("CLIPTextEncode", title, clip=clip[0], text=text)[0] for title, text in pair]

    def empty(self) -> Output:
        """An empty latent of five seconds."""
        return self.graph.add("EmptyHunyuanLatentVideo", width=832, height=480, length=FRAMES, batch_size=1)[0]

    def finished(self, samples: Output) -> Graph:
        """Decoded and saved as a video."""
        vae = self.graph.add("VAELoader", None, [VAE], vae_name=VAE["name"])
        frames = self.graph.add("VAEDecode", samples=samples, vae=vae[0])
        video = self.graph.add("CreateVideo", images=frames[0], fps=RATE)
        self.graph.add("SaveVideo", video=video[0], filename_prefix="video/ip_adapter", format="auto", codec="auto")
        return self.graph
