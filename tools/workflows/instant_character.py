"""The workflow for InstantCharacter, as data; `tools/workflows/catalogue.py` lists it."""

from collections.abc import Callable

from .graph import Graph
from .transformers import FLUX, HUB, SIGLIP, flux_sampled

CHARACTER = {
    "name": "instantcharacter_ip-adapter.bin",
    "url": f"{HUB}/Tencent/InstantCharacter/resolve/main/instantcharacter_ip-adapter.bin",
    "directory": "ipadapter",
}
DINO = {
    "name": "dinov2-giant.safetensors",
    "url": f"{HUB}/facebook/dinov2-giant/resolve/main/model.safetensors",
    "directory": "clip_vision",
}
WEIGHT = 0.9  # the publishers take 0.8 to 0.9


def flux_instant_character() -> Graph:
    """FLUX.1 dev with InstantCharacter: the character of one image in a scene that the text describes.

    Cut the character out, or put it on white. Two image encoders look at it; weight 0.8 to 0.9. For academic use only.
    """
    graph = Graph()
    checkpoint = graph.add("CheckpointLoaderSimple", None, [FLUX], ckpt_name=FLUX["name"])
    siglip = graph.add("IPAdapterCoreLoadEncoder", "SigLIP", [SIGLIP], encoder_name=SIGLIP["name"])
    dino = graph.add("IPAdapterCoreLoadEncoder", "DINOv2", [DINO], encoder_name=DINO["name"])
    character = graph.add("LoadImage", "Character", image="example.png")
    adapter = graph.add("IPAdapterCoreLoad", None, [CHARACTER], ip_adapter_name=CHARACTER["name"])
    prompt = graph.add(
        "IPAdapterCoreEncode", ip_adapter=adapter[0], image=character[0], clip_vision=siglip[0],
        second_clip_vision=dino[0], fit="as trained",
    )  # fmt: skip
    steered = graph.add(
        "IPAdapterCoreApply", model=checkpoint[0], ip_adapter=adapter[0], image_prompt=prompt[0], weight=WEIGHT,
        start_percent=0.0, end_percent=1.0,
    )  # fmt: skip
    flux_sampled(graph, checkpoint, steered[0], "a character playing a guitar in the street, evening light")
    return graph


GRAPHS: dict[str, Callable[[], Graph]] = {"flux_instant_character": flux_instant_character}
