"""Workflows that train an adapter, in the demo world."""

from .graph import Graph, Output

ADAPTER = "demo_world_ip_adapter.safetensors"
BRAND = {
    "object_colour": "orange",
    "background_colour": "purple",
    "object_texture": "dotted",
    "background_texture": "checked",
}
STEPS = 96
SETTINGS = {
    "accumulate": 1, "schedule": "hold, then fall", "warm_up": 20, "optimizer": "AdamW",
    "loss_weighting": "denoised image, as Train LoRA",
    "drop_text": 0.05, "drop_image": 0.05, "drop_both": 0.05, "precision": "bf16", "gradient_checkpointing": False,
    "offloading": False, "average": 0.98, "max_gradient": 1.0, "views": 4, "preview_cfg": 3.0, "save_every": STEPS,
}  # fmt: skip


def demo_train_adapter() -> Graph:
    """The demo's adapter tuned on 24 images of one brand, with its loss, and the same image before and after.

    For your own: a folder of images with captions (*Load Image and Text Dataset from Folder*, *Make Training Dataset*) in place
    of the drawn ones, your model and encoder, and New IP-Adapter in place of Load IP-Adapter to begin from nothing.
    """
    graph = Graph()
    world = graph.add("DemoWorldLoad")
    adapter = graph.add("IPAdapterCoreLoad", ip_adapter_name=ADAPTER)[0]
    images = graph.add("DemoWorldPicture", "Training images", shape="star", seed=100, size=64, batch_size=24, **BRAND)[
        0
    ]
    latents = graph.add("VAEEncode", pixels=images, vae=world[2])[0]
    caption, nothing, words = (
        graph.add("CLIPTextEncode", title, clip=world[1], text=text)[0]
        for title, text in (("Caption", "a star"), ("Empty text", ""), ("Prompt", "a heart"))
    )
    trained = graph.add(
        "IPAdapterCoreTrain", model=world[0], ip_adapter=adapter, clip_vision=world[3], latents=latents, positive=caption,
        references=images, vae=world[2], empty_text=nothing, steps=STEPS, batch_size=8, learning_rate=5e-5, seed=0,
        preview_every=STEPS // 3, filename_prefix="demo", **SETTINGS,
    )  # fmt: skip
    graph.add("LossGraphNode", loss=trained[1], filename_prefix="loss_graph")
    graph.add("SaveImage", "Previews", images=trained[2], filename_prefix="training")
    graph.add("IPAdapterCoreSaveAdapter", ip_adapter=trained[0], filename_prefix="demo_brand", dtype="fp16", license="")
    reference = graph.add("DemoWorldPicture", "Reference", shape="circle", seed=11, size=64, batch_size=1, **BRAND)[0]
    for title, used in (("Before", adapter), ("After", trained[0])):
        picture = _sampled(graph, title, _steered(graph, title, world, used, reference), world, words, nothing)
        graph.add("SaveImage", title, images=picture, filename_prefix=title.lower())
    return graph


GRAPHS = {"demo_train_adapter": demo_train_adapter}


def _steered(graph: Graph, title: str, world, adapter: Output, reference: Output) -> Output:
    prompt = graph.add(
        "IPAdapterCoreEncode", f"Encode for {title}", ip_adapter=adapter, image=reference, clip_vision=world[3], fit="center"
    )  # fmt: skip
    return graph.add(
        "IPAdapterCoreApply", f"Apply {title}", model=world[0], ip_adapter=adapter, image_prompt=prompt[0], weight=1.0,
        start_percent=0.0, end_percent=1.0,
    )[0]  # fmt: skip


def _sampled(graph: Graph, title: str, model: Output, world, words: Output, nothing: Output) -> Output:
    empty = graph.add("EmptyChromaRadianceLatentImage", f"Latent {title}", width=64, height=64, batch_size=4)
    latent = graph.add(
        "KSampler", f"Sample {title}", model=model, seed=1, steps=20, cfg=3.0, sampler_name="euler", scheduler="simple",
        positive=words, negative=nothing, latent_image=empty[0], denoise=1.0,
    )  # fmt: skip
    return graph.add("VAEDecode", samples=latent[0], vae=world[2])[0]
