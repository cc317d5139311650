"""What the images of further nodes show: regions, tiles, noise, frames, and what there is to see of a run."""

from collections.abc import Callable

from ..workflows.graph import Output
from .scene import BLUE_STRIPES, GREEN_DOTS, Scene

NOISES = ("fade", "dissolve", "gaussian", "shuffle")
TIMINGS = ("linear", "ease_in", "ease_out", "ease_in_out")


def regions(scene: Scene) -> None:
    """Two references, each in its half."""
    scene.sample("'a star'", scene.apply(_two_halves(scene)))


def encode_tiled(scene: Scene) -> None:
    """A wide image and its tiles."""
    first, second = scene.draw(**BLUE_STRIPES)[0], scene.draw("cross", 3, **GREEN_DOTS)[0]
    wide = scene.graph.add("ImageStitch", image1=first, image2=second, direction="right", match_image_size=True,
                           spacing_width=0, spacing_color="white")[0]  # fmt: skip
    scene.show("a wide reference", wide)
    given = {"ip_adapter": scene.adapter, "image": wide, "clip_vision": scene.encoder}
    scene.show("tile", scene.graph.add("IPAdapterCoreEncodeTiled", **given, tiles=1)[1], batch=True)


def scale_applied(scene: Scene) -> None:
    """The same model at three factors."""
    applied = scene.apply(_two_halves(scene))
    for label, factor in (("as applied", 1.0), ("factor 0.5", 0.5), ("factor 0: removed", 0.0)):
        scaled = scene.graph.add("IPAdapterCoreScaleApplied", model=applied, factor=factor)
        scene.sample(label, scaled[0])


def image_guider(scene: Scene) -> None:
    """The same model and texts at several scales, in both orders."""
    model = scene.apply(scene.encode(scene.reference())[0])
    scene.sample("no adapter", scene.model)
    for order in ("image, then text", "text, then image"):
        for image_scale in (0.5, 2.0, 4.0):
            label = "both at 2" if image_scale == 2.0 else f"{order} {image_scale:g}"
            if (order, image_scale) != ("text, then image", 2.0):  # which is the same as the other order
                _guided(scene, label, model, order, image_scale)


def _guided(scene: Scene, label: str, model: Output, order: str, image_scale: float) -> None:
    """An image by the guider, with the text at 2."""
    graph, (positive, negative) = scene.graph, scene.texts("a star")
    scales = {"text_scale": 2.0, "image_scale": image_scale, "order": order}
    guider = graph.add("IPAdapterCoreImageGuider", model=model, positive=positive, negative=negative, **scales)[0]
    latent = graph.add("EmptyChromaRadianceLatentImage", width=64, height=64, batch_size=1)[0]
    given = {
        "noise": graph.add("RandomNoise", noise_seed=1)[0],
        "sampler": graph.add("KSamplerSelect", sampler_name="euler")[0],
        "sigmas": graph.add("BasicScheduler", model=model, scheduler="simple", steps=20, denoise=1.0)[0],
    }
    sampled = graph.add("SamplerCustomAdvanced", guider=guider, latent_image=latent, **given)[0]
    scene.show(label, graph.add("VAEDecode", samples=sampled, vae=scene.vae)[0])


def noise(scene: Scene) -> None:
    """The four kinds."""
    reference = scene.reference()
    for kind in NOISES:
        made = scene.graph.add("IPAdapterCoreNoise", type=kind, strength=0.7, blur=0, seed=1, image=reference)
        scene.show(kind, made[0])


def frame_weights(scene: Scene) -> None:
    """Four ways from 0 to 1."""
    for timing in TIMINGS:
        moving = {"frames": 12, "start_frame": 0, "end_frame": 12, "seed": 0}
        scene.seen(timing, scene.graph.add("IPAdapterCoreFrameWeights", weights="0, 1", timing=timing, **moving))


def attention_maps(scene: Scene) -> None:
    """Where each of two references is attended to."""
    watched = scene.graph.add("IPAdapterCoreWatch", model=scene.apply(_two_halves(scene)), attention_maps=True)
    picture = scene.sample("the result", watched[0])
    measured = {"measure": "contribution", "blocks": "", "threshold": 0.0}
    scene.show("map", scene.graph.add("IPAdapterCoreAttentionMaps", run=watched[1], image=picture, **measured)[0], True)


def sweep(scene: Scene) -> None:
    """The result for each weight."""
    pictures, _, _ = _swept(scene, "linear")
    scene.show("variant", pictures, batch=True)


def grid(scene: Scene) -> None:
    """Weights as columns, presets as rows."""
    pictures, swept, reference = _swept(scene, "linear, weak output")
    given = {"images": pictures, "sweep": swept, "references": reference, "tile": 128, "pictures": 1}
    scene.show("", scene.graph.add("IPAdapterCoreGrid", **given)[0])


def score(scene: Scene) -> None:
    """The curves over the weights."""
    pictures, swept, reference = _swept(scene, "linear")
    given = {"images": pictures, "references": reference, "clip_vision": scene.encoder, "prompt": "", "sweep": swept}
    scene.show("", scene.graph.add("IPAdapterCoreScore", **given)[2])


def _two_halves(scene: Scene) -> Output:
    given = {}
    for number, (words, left) in enumerate(((BLUE_STRIPES, True), (GREEN_DOTS, False)), start=1):
        given[f"regions.image_prompt_{number}"] = scene.encode(scene.reference(f"reference {number}", words))[0]
        given[f"regions.mask_{number}"] = scene.half(left)
        given[f"regions.weight_{number}"] = 1.0
    return scene.graph.add("IPAdapterCoreRegions", regions="2", prompt_strength=1.0, **given)[0]


def _swept(scene: Scene, presets: str) -> tuple[Output, Output, Output]:
    """Images of a sweep, the sweep, and the reference."""
    reference = scene.reference()
    window = {"start_percent": 0.0, "end_percent": 1.0, "weights": "0, 0.5, 1, 1.5", "presets": presets}
    given = {"model": scene.model, "ip_adapter": scene.adapter, "image_prompt": scene.encode(reference)[0]}
    swept = scene.graph.add("IPAdapterCoreSweep", **given, **window)
    return scene.sample(None, swept[0]), swept[1], reference


FURTHER: dict[str, Callable[[Scene], None]] = {
    "IPAdapterCoreRegions": regions,
    "IPAdapterCoreEncodeTiled": encode_tiled,
    "IPAdapterCoreScaleApplied": scale_applied,
    "IPAdapterCoreImageGuider": image_guider,
    "IPAdapterCoreNoise": noise,
    "IPAdapterCoreFrameWeights": frame_weights,
    "IPAdapterCoreAttentionMaps": attention_maps,
    "IPAdapterCoreSweep": sweep,
    "IPAdapterCoreGrid": grid,
    "IPAdapterCoreScore": score,
}
