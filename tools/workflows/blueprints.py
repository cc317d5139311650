"""The blueprints in `subgraphs/`: what people want of an image prompt as one node each.

ComfyUI lists them in its node library; unpacked, they are the single nodes.
"""

from collections.abc import Callable

from .catalogue import ADAPTER_SDXL, ENCODER_H, HUB
from .graph import Node, Output
from .subgraph import Blueprint, Socket
from .transformers import CLIP_L, XLABS

FACEID = {
    "name": "ip-adapter-faceid-plusv2_sd15.bin",
    "url": f"{HUB}/h94/IP-Adapter-FaceID/resolve/main/ip-adapter-faceid-plusv2_sd15.bin",
    "directory": "ipadapter",
}
MODEL, IMAGE = Socket("model", "MODEL"), Socket("image", "IMAGE")
File = dict[str, str]
PROMPTS = "image_prompts.image_prompt"  # of Combine Image Prompts, with a number


def image_prompt(adapter: File = ADAPTER_SDXL, encoder: File = ENCODER_H) -> Blueprint:
    """A reference image steers the model: loader, encoder and application in one node."""
    found = Blueprint("Image Prompt", _text(image_prompt), (MODEL, IMAGE))
    loader, prompt = _encoded(found, found.given("image"), adapter, encoder)
    apply = _applied(found, found.given("model"), loader, prompt[0])
    return _ended(found, apply, (loader, "ip_adapter_name"), (apply, "weight"), (apply, "end_percent"))


def style_from_image(adapter: File = ADAPTER_SDXL, encoder: File = ENCODER_H) -> Blueprint:
    """The style of a reference alone: its colours, materials and strokes, without what it shows."""
    found = Blueprint("Style from Image", _text(style_from_image), (MODEL, IMAGE))
    loader, prompt = _encoded(found, found.given("image"), adapter, encoder)
    layers = found.graph.add("IPAdapterCoreLayerWeights", preset="style transfer", blocks="")
    apply = _applied(found, found.given("model"), loader, prompt[0], layer_weights=layers[0])
    return _ended(found, apply, (loader, "ip_adapter_name"), (apply, "weight"))


def character(adapter: File = ADAPTER_SDXL, encoder: File = ENCODER_H) -> Blueprint:
    """One figure over scenes: several images of it in a batch are averaged, and their ground may be masked away."""
    found = Blueprint("Character", _text(character), (MODEL, Socket("images", "IMAGE"), Socket("mask", "MASK")))
    loader, prompt = _encoded(found, found.given("images"), adapter, encoder, mask=found.given("mask"))
    mean = found.graph.add("IPAdapterCoreCombine", method="average", **{f"{PROMPTS}0": prompt[0]})
    apply = _applied(found, found.given("model"), loader, mean[0], end_percent=0.8)
    return _ended(found, apply, (loader, "ip_adapter_name"), (apply, "weight"), (apply, "end_percent"))


def two_regions(adapter: File = ADAPTER_SDXL, encoder: File = ENCODER_H) -> Blueprint:
    """Two references, each in its part of the image: white of the mask has the first, black the second."""
    sockets = (MODEL, Socket("inside", "IMAGE"), Socket("outside", "IMAGE"), Socket("mask", "MASK"))
    found = Blueprint("Two Regions", _text(two_regions), sockets)
    loader, inside = _encoded(found, found.given("inside"), adapter, encoder)
    outside = found.graph.add("IPAdapterCoreEncode", **(inside.inputs | {"image": found.given("outside")}))
    rest = found.graph.add("InvertMask", mask=found.given("mask"))
    first = found.graph.add("IPAdapterCoreWeighReference", image_prompt=inside[0], weight=1.0, mask=found.given("mask"))
    second = found.graph.add("IPAdapterCoreWeighReference", image_prompt=outside[0], weight=1.0, mask=rest[0])
    both = {f"{PROMPTS}0": first[0], f"{PROMPTS}1": second[0]}
    together = found.graph.add("IPAdapterCoreCombine", method="concat", **both)
    apply = _applied(found, found.given("model"), loader, together[0])
    return _ended(found, apply, (loader, "ip_adapter_name"), (apply, "weight"))


def face(adapter: File = FACEID, encoder: File = ENCODER_H) -> Blueprint:
    """The identity of a face: analysis, FaceID Plus V2 and its LoRA in one node."""
    found = Blueprint("Face", _text(face), (MODEL, IMAGE))
    loader = found.graph.add("IPAdapterCoreLoad", None, [adapter], ip_adapter_name=adapter["name"])
    analysis = found.graph.add("IPAdapterCoreLoadFaceAnalysis", model_name="buffalo_l", provider="CPU")
    vision = found.graph.add("CLIPVisionLoader", None, [encoder], clip_name=encoder["name"])
    given = {"image": found.given("image"), "insightface": analysis[0], "clip_vision": vision[0]}
    encoded = found.graph.add("IPAdapterCoreEncodeFace", ip_adapter=loader[0], **given)
    lora = found.graph.add("IPAdapterCoreApplyLora", model=found.given("model"), ip_adapter=loader[0], strength=0.6)
    apply = _applied(found, lora[0], loader, encoded[0])
    return _ended(found, apply, (loader, "ip_adapter_name"), (apply, "weight"), (lora, "strength"))


def image_prompt_for_flux(adapter: File = XLABS, encoder: File = CLIP_L) -> Blueprint:
    """A reference image steers FLUX.1."""
    found = Blueprint("Image Prompt for FLUX", _text(image_prompt_for_flux), (MODEL, IMAGE))
    loader, prompt = _encoded(found, found.given("image"), adapter, encoder)
    apply = _applied(found, found.given("model"), loader, prompt[0])
    return _ended(found, apply, (loader, "ip_adapter_name"), (apply, "weight"), (apply, "end_percent"))


BLUEPRINTS = (image_prompt, style_from_image, character, face, two_regions, image_prompt_for_flux)


def _text(build: Callable[..., Blueprint]) -> str:
    return (build.__doc__ or "").strip()


def _encoded(found: Blueprint, image: Output, adapter: File, encoder: File, **more: Output) -> tuple[Node, Node]:
    loader = found.graph.add("IPAdapterCoreLoad", None, [adapter], ip_adapter_name=adapter["name"])
    vision = found.graph.add("CLIPVisionLoader", None, [encoder], clip_name=encoder["name"])
    given = {"ip_adapter": loader[0], "image": image, "clip_vision": vision[0], "fit": "center"} | more
    return loader, found.graph.add("IPAdapterCoreEncode", **given)


def _applied(found: Blueprint, model: Output, loader: Node, prompt: Output, **more: Output | float) -> Node:
    given = {"weight": 0.8, "start_percent": 0.0, "end_percent": 1.0} | more
    return found.graph.add("IPAdapterCoreApply", model=model, ip_adapter=loader[0], image_prompt=prompt, **given)


def _ended(found: Blueprint, apply: Node, *widgets: tuple[Node, str]) -> Blueprint:
    found.outputs = ((Socket("MODEL", "MODEL"), apply[0]),)
    found.widgets = widgets
    return found
