"""Workflows as people have them, after what the 21 examples of ComfyUI_IPAdapter_plus show, written for the demo world.

Each is made of the old ids; `old_workflow` is the file that the browser saved then, without what came later.
"""

from typing import Any

from pack.tools.workflows.graph import Graph, Output

ADAPTER, PLUS, FACE = "demo_world_ip_adapter.safetensors", "old_plus.safetensors", "old_faceid.safetensors"

PORTRAIT = "astronaut.png"

WINDOW = {"start_at": 0.0, "end_at": 1.0}

ADVANCED = {"weight": 0.8, "weight_type": "linear", "combine_embeds": "concat", **WINDOW, "embeds_scaling": "V only"}


class Old(Graph):
    """A growing workflow over the demo world."""

    def __init__(self) -> None:
        super().__init__()
        self.world = self.add("DemoWorldLoad")
        self.model, self.encoder = self.world[0], self.world[3]

    def drawn(self, colour: str = "yellow", count: int = 1, seed: int = 11) -> Output:
        """Reference images."""
        words = dict.fromkeys(("background_colour", "object_texture", "background_texture"), "any")
        return self.add(
            "DemoWorldPicture", "Reference", shape="circle", object_colour=colour, seed=seed, size=64, batch_size=count, **words
        )[0]  # fmt: skip

    def mask(self, seed: int = 3) -> Output:
        """A shape to act in."""
        words = dict.fromkeys(
            ("object_colour", "background_colour", "object_texture", "background_texture"), "any"
        )  # fmt: skip
        return self.add("DemoWorldPicture", "Mask", shape="circle", seed=seed, size=64, batch_size=1, **words)[2]

    def unified(self, preset: str, kind: str = "IPAdapterUnifiedLoader", **more: Any) -> tuple[Output, Output]:
        """Model and pipeline of a preset."""
        loader = self.add(kind, model=self.model, preset=preset, **more)
        return loader[0], loader[1]

    def file(self, name: str = ADAPTER) -> Output:
        """An adapter alone."""
        return self.add("IPAdapterModelLoader", ipadapter_file=name)[0]

    def prepared(self, image: Output) -> Output:
        """A square of 224 pixels."""
        return self.add(
            "PrepImageForClipVision", image=image, interpolation="LANCZOS", crop_position="center", sharpening=0.15
        )[0]

    def advanced(self, model: Output, adapter: Output, image: Output, **more: Any) -> Output:
        """*IPAdapter Advanced*."""
        return self.add("IPAdapterAdvanced", model=model, ipadapter=adapter, image=image, **ADVANCED | more)[0]

    def portrait(self) -> Output:
        """An image of a person."""
        return self.add("LoadImage", "Portrait", image=PORTRAIT)[0]

    def sampled(
        self, model: Output, positive: Output | None = None, count: int = 1, negative: Output | None = None
    ) -> "Old":
        """Ends in an image."""
        words = [self.add("CLIPTextEncode", clip=self.world[1], text=text)[0] for text in ("a star", "")]
        latent = self.add("EmptyChromaRadianceLatentImage", width=64, height=64, batch_size=count)[0]
        noise = self.add(
            "KSampler", model=model, seed=1, steps=2, cfg=3.0, sampler_name="euler", scheduler="simple",
            positive=positive or words[0], negative=negative or words[1], latent_image=latent, denoise=1.0,
        )  # fmt: skip
        return self.saved(noise[0])

    def saved(self, latent: Output) -> "Old":
        """Decodes and saves."""
        picture = self.add("VAEDecode", samples=latent, vae=self.world[2])
        self.add("SaveImage", images=picture[0], filename_prefix="old")
        return self


def simple() -> Graph:
    graph = Old()
    model, pipeline = graph.unified("STANDARD (medium strength)")
    kind = {"weight": 0.8, **WINDOW, "weight_type": "standard"}
    return graph.sampled(graph.add("IPAdapter", model=model, ipadapter=pipeline, image=graph.drawn(), **kind)[0])


def advanced() -> Graph:
    graph = Old()
    picture = graph.prepared(graph.drawn())
    return graph.sampled(graph.advanced(graph.model, graph.file(), picture, clip_vision=graph.encoder))


def weight_types() -> Graph:
    graph = Old()
    picture, adapter, model = graph.drawn(), graph.file(), graph.model
    for kind in ("ease in", "weak output", "style transfer", "strong middle", "reverse in-out"):
        more = {"weight_type": kind, "weight": 0.3, "clip_vision": graph.encoder}
        model = graph.advanced(model, adapter, picture, **more)
    return graph.sampled(model)


def combine_embeds() -> Graph:
    graph = Old()
    pictures = graph.add("ImageBatch", image1=graph.drawn(), image2=graph.drawn("red", seed=4))[0]
    adapter, model = graph.file(), graph.model
    for method in ("concat", "average", "norm average", "subtract"):
        more = {"combine_embeds": method, "weight": 0.3, "clip_vision": graph.encoder}
        model = graph.advanced(model, adapter, pictures, **more)
    return graph.sampled(model)


def weighted_embeds() -> Graph:
    graph = Old()
    adapter = graph.file()
    given = [
        graph.add("IPAdapterEncoder", ipadapter=adapter, image=picture, weight=weight, clip_vision=graph.encoder)
        for picture, weight in ((graph.drawn(), 1.0), (graph.drawn("red", seed=4), 0.7))
    ]
    both = [
        graph.add("IPAdapterCombineEmbeds", embed1=given[0][slot], method="average", embed2=given[1][slot])[0]
        for slot in (0, 1)
    ]  # fmt: skip
    values = {"weight": 0.9, "weight_type": "linear", **WINDOW, "embeds_scaling": "V only"}
    return graph.sampled(
        graph.add(
            "IPAdapterEmbeds", model=graph.model, ipadapter=adapter, pos_embed=both[0], neg_embed=both[1], **values,
            clip_vision=graph.encoder,
        )[0]
    )  # fmt: skip


def negative_image() -> Graph:
    graph = Old()
    more = {"image_negative": graph.drawn("blue", seed=8), "clip_vision": graph.encoder}
    return graph.sampled(graph.advanced(graph.model, graph.file(), graph.drawn(), **more))


def noise_injection() -> Graph:
    graph = Old()
    picture = graph.drawn()
    noise = graph.add("IPAdapterNoise", type="dissolve", strength=0.7, blur=2, image_optional=picture)[0]
    more = {"image_negative": noise, "clip_vision": graph.encoder}
    return graph.sampled(graph.advanced(graph.model, graph.file(), picture, **more))


def tiled() -> Graph:
    graph = Old()
    model, pipeline = graph.unified("STANDARD (medium strength)")
    values = {"weight": 0.7, "weight_type": "linear", "combine_embeds": "concat", **WINDOW, "sharpening": 0.1,
              "embeds_scaling": "V only"}  # fmt: skip
    made = graph.add("IPAdapterTiled", model=model, ipadapter=pipeline, image=graph.drawn(), **values)
    graph.add("PreviewImage", images=made[1])
    graph.add("MaskPreview", mask=made[2])
    return graph.sampled(made[0])


def regional_conditioning() -> Graph:
    graph = Old()
    model, pipeline = graph.unified("STANDARD (medium strength)")
    words = graph.add("CLIPTextEncode", clip=graph.world[1], text="a star")[0]
    regions = [
        graph.add(
            "IPAdapterRegionalConditioning", image=graph.drawn(colour, seed=seed), image_weight=0.8, prompt_weight=1.0,
            weight_type="linear", **WINDOW, mask=graph.mask(seed), positive=words, negative=words,
        ) for colour, seed in (("yellow", 3), ("red", 4), ("blue", 5))
    ]  # fmt: skip
    params = graph.add(
        "IPAdapterCombineParams", params_1=regions[0][0], params_2=regions[1][0], params_3=regions[2][0]
    )  # fmt: skip
    prompts = []
    for slot in (1, 2):
        both = graph.add("ConditioningCombine", conditioning_1=regions[0][slot], conditioning_2=regions[1][slot])[0]
        prompts.append(graph.add("ConditioningCombine", conditioning_1=both, conditioning_2=regions[2][slot])[0])
    steered = graph.add(
        "IPAdapterFromParams", model=model, ipadapter=pipeline, ipadapter_params=params[0], combine_embeds="concat",
        embeds_scaling="V only",
    )  # fmt: skip
    return graph.sampled(steered[0], prompts[0], negative=prompts[1])


def style_composition() -> Graph:
    graph = Old()
    model, pipeline = graph.unified("PLUS (high strength)")
    made = graph.add(
        "IPAdapterStyleComposition", model=model, ipadapter=pipeline, image_style=graph.drawn(), weight_style=1.0,
        image_composition=graph.drawn("red", seed=4), weight_composition=0.8, expand_style=False, combine_embeds="average",
        **WINDOW, embeds_scaling="V only",
    )  # fmt: skip
    return graph.sampled(made[0])


def precise_weight_type() -> Graph:
    graph = Old()
    model, pipeline = graph.unified("PLUS (high strength)")
    return graph.sampled(graph.advanced(model, pipeline, graph.drawn(), weight_type="style transfer precise"))


def precise_composition() -> Graph:
    graph = Old()
    model, pipeline = graph.unified("PLUS (high strength)")
    values = {"weight": 0.9, "composition_boost": 0.3, "combine_embeds": "concat", **WINDOW, "embeds_scaling": "V only"}
    made = graph.add("IPAdapterPreciseComposition", model=model, ipadapter=pipeline, image=graph.drawn(), **values)
    return graph.sampled(made[0])


def clipvision_enhancer() -> Graph:
    graph = Old()
    model, pipeline = graph.unified("PLUS (high strength)")
    values = ADVANCED | {"combine_embeds": "average", "enhance_tiles": 2, "enhance_ratio": 1.0}
    made = graph.add("IPAdapterClipVisionEnhancer", model=model, ipadapter=pipeline, image=graph.drawn(), **values)
    return graph.sampled(made[0])


def weights() -> Graph:
    graph = Old()
    model, pipeline = graph.unified("STANDARD (medium strength)")
    rows = {"weights": "1.0, 0.0", "timing": "linear", "frames": 2, "start_frame": 0, "end_frame": 9999,
            "add_starting_frames": 0, "add_ending_frames": 1, "method": "shift batches"}  # fmt: skip
    pictures = graph.add("ImageBatch", image1=graph.drawn(), image2=graph.drawn("red", seed=4))[0]
    made = graph.add("IPAdapterWeights", **rows, image=pictures)
    graph.add("PreviewAny", source=graph.add(
        "IPAdapterPromptScheduleFromWeightsStrategy", weights_strategy=made[5], prompt="a star\na moon")[0])  # fmt: skip
    values = {"weight_type": "linear", **WINDOW, "embeds_scaling": "V only", "encode_batch_size": 0}
    for image, weight in ((made[3], made[0]), (made[4], made[1])):
        model = graph.add(
            "IPAdapterBatch", model=model, ipadapter=pipeline, image=image, weight=weight, **values
        )[0]  # fmt: skip
    return graph.sampled(model, count=3)


def cosxl_edit() -> Graph:
    graph = Old()
    model = graph.advanced(graph.model, graph.file(), graph.drawn(), clip_vision=graph.encoder)
    words = [graph.add("CLIPTextEncode", clip=graph.world[1], text=text)[0] for text in ("a star", "a moon", "")]
    guider = graph.add(
        "DualCFGGuider", model=model, cond1=words[0], cond2=words[1], negative=words[2], cfg_conds=3.0,
        cfg_cond2_negative=1.5, style="regular",
    )  # fmt: skip
    run = graph.add(
        "SamplerCustomAdvanced", noise=graph.add("RandomNoise", noise_seed=1)[0], guider=guider[0],
        sampler=graph.add("KSamplerSelect", sampler_name="euler")[0],
        sigmas=graph.add("BasicScheduler", model=model, scheduler="simple", steps=2, denoise=1.0)[0],
        latent_image=graph.add("EmptyChromaRadianceLatentImage", width=64, height=64, batch_size=1)[0],
    )  # fmt: skip
    return graph.saved(run[0])
