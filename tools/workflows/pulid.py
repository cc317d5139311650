"""The workflows for PuLID, as data; `tools/workflows/catalogue.py` lists them."""

from collections.abc import Callable

from .graph import Graph, Output
from .stage import SDXL
from .transformers import FLUX, flux_sampled

HUB = "https://huggingface.co"
PULID_FLUX = {
    "name": "pulid_flux_v0.9.1.safetensors",
    "url": f"{HUB}/guozinan/PuLID/resolve/main/pulid_flux_v0.9.1.safetensors",
    "directory": "ipadapter",
}
PULID_SDXL = {
    "name": "pulid_v1.1.safetensors",
    "url": f"{HUB}/guozinan/PuLID/resolve/main/pulid_v1.1.safetensors",
    "directory": "ipadapter",
}
EVA = {
    "name": "EVA02_CLIP_L_336_psz14_s6B.pt",
    "url": f"{HUB}/QuanSun/EVA-CLIP/resolve/main/EVA02_CLIP_L_336_psz14_s6B.pt",
    "directory": "clip_vision",
}
PARSER = {
    "name": "parsing_bisenet.pth",
    "url": "https://github.com/xinntao/facexlib/releases/download/v0.2.0/parsing_bisenet.pth",
    "directory": "facexlib",
}
BEGIN = 0.1  # of the run: the layout is the prompt's, as the authors advise for photographs
SIZE = 1024


def flux_pulid() -> Graph:
    """FLUX.1 dev with PuLID: the person of a photograph in an image that the text describes.

    Needs antelopev2 in models/insightface/models, parsing_bisenet.pth in models/facexlib and EVA02-CLIP in models/clip_vision.
    """
    stage = _Stage(FLUX, PULID_FLUX)
    return stage.finished(stage.person("Person"), "portrait of a person in a library, reading, photograph")


def flux_pulid_two_people() -> Graph:
    """FLUX.1 dev with PuLID: two people, each in a half of the image.

    Regional Image Prompts gives each face its place; the second region is the rest.
    """
    stage = _Stage(FLUX, PULID_FLUX)
    first, second = stage.person("Left"), stage.person("Right")
    graph = stage.graph
    nowhere = graph.add("SolidMask", "Nowhere", value=0.0, width=SIZE, height=SIZE)
    strip = graph.add("SolidMask", "Half", value=1.0, width=SIZE // 2, height=SIZE)
    left = graph.add("MaskComposite", "Left half", destination=nowhere[0], source=strip[0], x=0, y=0, operation="add")
    both = graph.add("IPAdapterCoreRegions", regions="2", prompt_strength=1.0, **{
        "regions.image_prompt_1": first, "regions.mask_1": left[0], "regions.weight_1": 1.0,
        "regions.image_prompt_2": second, "regions.weight_2": 1.0,
    })  # fmt: skip
    return stage.finished(both[0], "two people side by side at a café table, half-length photograph")


def sdxl_pulid() -> Graph:
    """SDXL with PuLID v1.1: the person of a photograph in an image that the text describes, in its style.

    identity_method and zero_tokens, advanced inputs of Apply IP-Adapter, trade likeness for the prompt's style. Needs what
    flux_pulid does beside the model.
    """
    stage = _Stage(SDXL.checkpoint, PULID_SDXL)
    person, graph = stage.person("Person"), stage.graph
    model = stage.applied(person, weight=0.8, start=0.0)
    positive, negative = (
        graph.add("CLIPTextEncode", title, clip=stage.checkpoint[1], text=text)[0]
        for title, text in (
            ("Prompt", "pixel art portrait of a person, city at night"),
            ("Negative prompt", "blurry, deformed, low quality"),
        )
    )
    latent = graph.add("EmptyLatentImage", width=896, height=1152, batch_size=1)
    noise = graph.add(
        "KSampler", model=model, seed=1, steps=25, cfg=7.0, sampler_name="dpmpp_2m", scheduler="karras", positive=positive,
        negative=negative, latent_image=latent[0], denoise=1.0,
    )  # fmt: skip
    picture = graph.add("VAEDecode", samples=noise[0], vae=stage.checkpoint[2])
    graph.add("SaveImage", images=picture[0], filename_prefix="ip_adapter")
    return graph


GRAPHS: dict[str, Callable[[], Graph]] = {
    "flux_pulid": flux_pulid,
    "flux_pulid_two_people": flux_pulid_two_people,
    "sdxl_pulid": sdxl_pulid,
}


class _Stage:
    """What these workflows have: a model, an adapter, and what looks at faces."""

    def __init__(self, model: dict[str, str], adapter: dict[str, str]) -> None:
        self.graph = Graph()
        self.checkpoint = self.graph.add("CheckpointLoaderSimple", None, [model], ckpt_name=model["name"])
        self.adapter = self.graph.add("IPAdapterCoreLoad", None, [adapter], ip_adapter_name=adapter["name"])
        self.vision = self.graph.add("IPAdapterCoreLoadEncoder", None, [EVA], encoder_name=EVA["name"])
        self.analysis = self.graph.add(
            "IPAdapterCoreLoadFaceAnalysis", None, [PARSER], model_name="antelopev2", provider="CPU"
        )

    def person(self, title: str) -> Output:
        """The largest face of an image."""
        picture = self.graph.add("LoadImage", title, image="example.png")
        return self.graph.add(
            "IPAdapterCoreEncodeFace", ip_adapter=self.adapter[0], image=picture[0], insightface=self.analysis[0],
            clip_vision=self.vision[0], pick="largest", index=0, no_face="fail", several="concatenate", plus_version="auto",
            structure=1.0,
        )[0]  # fmt: skip

    def applied(self, prompt: Output, weight: float, start: float) -> Output:
        """The model with the prompt, from a part of the run on."""
        return self.graph.add(
            "IPAdapterCoreApply", model=self.checkpoint[0], ip_adapter=self.adapter[0], image_prompt=prompt, weight=weight,
            start_percent=start, end_percent=1.0,
        )[0]  # fmt: skip

    def finished(self, prompt: Output, text: str) -> Graph:
        """Applied from a tenth of the run on, and sampled as FLUX.1 dev is."""
        flux_sampled(self.graph, self.checkpoint, self.applied(prompt, 1.0, BEGIN), text)
        return self.graph
