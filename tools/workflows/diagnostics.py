"""Workflows that show what an adapter does, in the demo world: attention maps, and weights compared and scored."""

from .graph import Graph, Output

ADAPTER = "demo_world_ip_adapter.safetensors"
STYLES = (("yellow", "blue", "striped"), ("red", "white", "dotted"))  # shape, background and the background's texture
WEIGHTS, PRESETS = "0, 0.25, 0.5, 0.75, 1, 1.25, 1.5", "linear, weak output"
COMPARED = "a red heart on white"


def seeing_attention_maps() -> Graph:
    """Two references, each confined to a half of the image, and where each is attended to."""
    graph = Graph()
    world = graph.add("DemoWorldLoad")
    model, adapter = world[0], graph.add("IPAdapterCoreLoad", ip_adapter_name=ADAPTER)[0]
    nowhere = graph.add("SolidMask", "Nowhere", value=0.0, width=64, height=64)
    half = graph.add("SolidMask", "Half", value=1.0, width=32, height=64)
    for number, style in enumerate(STYLES):
        prompt = _encoded(graph, adapter, world[3], _reference(graph, f"Reference {number + 1}", style, 11 + number))
        place = graph.add(
            "MaskComposite", f"Half {number + 1}", destination=nowhere[0], source=half[0], x=32 * number, y=0, operation="add"
        )  # fmt: skip
        model = graph.add(
            "IPAdapterCoreApply", f"Apply {number + 1}", model=model, ip_adapter=adapter, image_prompt=prompt, weight=1.0,
            start_percent=0.0, end_percent=1.0, mask=place[0],
        )[0]  # fmt: skip
    watched = graph.add("IPAdapterCoreWatch", model=model, attention_maps=True)
    picture = _sampled(graph, watched[0], world, "a heart")
    maps = graph.add(
        "IPAdapterCoreAttentionMaps", run=watched[1], image=picture, measure="contribution", blocks="", threshold=0.0
    )
    graph.add("SaveImage", "Overlays", images=maps[0], filename_prefix="attention")
    graph.add("IPAdapterCoreSaveTrace", images=picture, run=watched[1], filename_prefix="ip_adapter")
    return graph


def seeing_weights_compared() -> Graph:
    """One reference at seven weights, against a text that wants other colours, side by side and scored."""
    graph = Graph()
    world = graph.add("DemoWorldLoad")
    adapter = graph.add("IPAdapterCoreLoad", ip_adapter_name=ADAPTER)[0]
    reference = _reference(graph, "Reference", STYLES[0], 11)
    prompt = _encoded(graph, adapter, world[3], reference)
    sweep = graph.add(
        "IPAdapterCoreSweep", model=world[0], ip_adapter=adapter, image_prompt=prompt, weights=WEIGHTS, presets=PRESETS,
        start_percent=0.0, end_percent=1.0,
    )  # fmt: skip
    pictures = _sampled(graph, sweep[0], world, COMPARED, batch_size=4)
    grid = graph.add("IPAdapterCoreGrid", images=pictures, sweep=sweep[1], references=reference, tile=128, pictures=1)
    kept = graph.add("DemoWorldPromptScore", images=pictures, text=COMPARED)
    scores = graph.add(
        "IPAdapterCoreScore", images=pictures, references=reference, clip_vision=world[3], prompt="", prompt_scores=kept[0],
        sweep=sweep[1],
    )  # fmt: skip
    graph.add("SaveImage", "Grid", images=grid[0], filename_prefix="compared")
    graph.add("SaveImage", "Plot", images=scores[2], filename_prefix="scores")
    return graph


GRAPHS = {"seeing_attention_maps": seeing_attention_maps, "seeing_weights_compared": seeing_weights_compared}


def _reference(graph: Graph, title: str, style: tuple[str, str, str], seed: int) -> Output:
    words = dict(zip(("object_colour", "background_colour", "background_texture"), style, strict=True))
    return graph.add("DemoWorldPicture", title, shape="circle", seed=seed, **words)[0]


def _encoded(graph: Graph, adapter: Output, encoder: Output, reference: Output) -> Output:
    return graph.add("IPAdapterCoreEncode", ip_adapter=adapter, image=reference, clip_vision=encoder, fit="center")[0]


def _sampled(graph: Graph, model: Output, world, text: str, batch_size: int = 1) -> Output:
    prompt, nothing = (
        graph.add("CLIPTextEncode", title, clip=world[1], text=words)[0]
        for title, words in (("Prompt", text), ("Negative prompt", ""))
    )
    empty = graph.add("EmptyChromaRadianceLatentImage", width=64, height=64, batch_size=batch_size)
    latent = graph.add(
        "KSampler", model=model, seed=1, steps=20, cfg=3.0, sampler_name="euler", scheduler="simple", positive=prompt,
        negative=nothing, latent_image=empty[0], denoise=1.0,
    )  # fmt: skip
    return graph.add("VAEDecode", samples=latent[0], vae=world[2])[0]
