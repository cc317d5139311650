"""The catalogue's native nodes in a real server, on the demo world: each image is looked at for what its node promises."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from pack.ipadapter_core.images.noise import Noise, add_noise, blurred
from pack.tools.comfyui.client import GraphError
from pack.tools.workflows.graph import Graph
from PIL import Image
from safetensors import safe_open

pytestmark = pytest.mark.catalogue

ADAPTER = "demo_world_ip_adapter.safetensors"
RED, BLUE = (0.86, 0.12, 0.12), (0.12, 0.24, 0.85)


class Bench:
    """A growing workflow on the demo world, and its images when it has run."""

    def __init__(self, client):
        self.client, self.graph = client, Graph()
        self.model, self.clip, self.vae, self.encoder, _ = (self.graph.add("DemoWorldLoad")[slot] for slot in range(5))
        self.adapter = self.graph.add("IPAdapterCoreLoad", ip_adapter_name=ADAPTER)[0]

    def drawn(self, colour, count=1, seed=3, **more):
        """A plain image in one colour, a little of another shade in it."""
        words = {"shape": "circle", "object_colour": colour, "background_colour": colour, "object_texture": "plain",
                 "background_texture": "plain", "size": 64, "batch_size": count, "seed": seed}  # fmt: skip
        return self.graph.add("DemoWorldPicture", **words | more)

    def encoded(self, image, kind="IPAdapterCoreEncode", **more):
        fit = {"fit": "as trained"} if kind != "IPAdapterCoreEncodeTiled" else {}
        return self.graph.add(kind, ip_adapter=self.adapter, image=image, clip_vision=self.encoder, **fit, **more)[0]

    def applied(self, prompt, model=None, **more):
        values = {"weight": 1.0, "start_percent": 0.0, "end_percent": 1.0} | more
        return self.graph.add(
            "IPAdapterCoreApply", model=model or self.model, ip_adapter=self.adapter, image_prompt=prompt, **values
        )[0]

    def words(self, text):
        return self.graph.add("CLIPTextEncode", clip=self.clip, text=text)[0]

    def sampled(self, model, positive=None, count=1, steps=8):
        latent = self.graph.add("EmptyChromaRadianceLatentImage", width=64, height=64, batch_size=count)[0]
        noise = self.graph.add(
            "KSampler", model=model, seed=1, steps=steps, cfg=2.0, sampler_name="euler", scheduler="simple",
            positive=positive or self.words("circle"), negative=self.words(""), latent_image=latent, denoise=1.0,
        )  # fmt: skip
        return self.shown(self.graph.add("VAEDecode", samples=noise[0], vae=self.vae)[0])

    def shown(self, image):
        return self.graph.add("PreviewImage", images=image)

    def masks(self, masks):
        return self.shown(self.graph.add("MaskToImage", mask=masks)[0])

    def run(self):
        """Runs; then `pictures` are there."""
        self.outputs = self.client.run(self.graph.prompt())

    def pictures(self, node):
        """What a node shows, (B, H, W, 3) in 0..1."""
        found = [self.client.picture(entry) for entry in self.outputs[str(node.number)]["images"]]
        return np.stack([np.asarray(Image.open(io.BytesIO(one)).convert("RGB")) for one in found]) / 255


@pytest.fixture
def bench(client):
    return Bench(client)


def nearer(part, one, other):
    """How much nearer a part's mean colour is to one colour than to another."""
    mean = part.reshape(-1, 3).mean(axis=0)
    return np.linalg.norm(mean - other) - np.linalg.norm(mean - one)


def half_masks(bench):
    """White on the left, white on the right."""
    left = bench.graph.add("SolidMask", value=1.0, width=32, height=64)[0]
    canvas = bench.graph.add("SolidMask", value=0.0, width=64, height=64)[0]
    joined = {"destination": canvas, "source": left, "y": 0, "operation": "add"}
    return [bench.graph.add("MaskComposite", x=x, **joined)[0] for x in (0, 32)]


def test_catalogue_noise_in_a_graph(bench):
    """What the node shows is the formula on the image; as a negative it changes the result; the seed decides."""
    reference = bench.drawn("red", object_colour="yellow", background_texture="striped")[0]
    source = bench.shown(reference)
    noisy = [
        bench.graph.add("IPAdapterCoreNoise", image=reference, type=kind, strength=0.6, blur=blur, seed=seed)[0]
        for kind, blur, seed in (("dissolve", 0, 1), ("dissolve", 0, 2), ("shuffle", 4, 1))
    ]
    shown = [bench.shown(one) for one in noisy]
    results = [
        bench.sampled(bench.applied(bench.encoded(reference, **more))) for more in ({}, {"negative_image": noisy[0]})
    ]
    bench.run()
    given = torch.from_numpy(bench.pictures(source)).float()
    dissolved, other, shuffled = (bench.pictures(one) for one in shown)
    expected = add_noise(given, Noise.DISSOLVE, 0.6, 1).numpy()
    kept = (expected == given.numpy()).mean()
    assert abs(dissolved - expected).max() < 1.01 / 255 and abs(kept - 0.4) < 0.02
    assert abs(dissolved - other).mean() > 0.05
    assert abs(shuffled - blurred(add_noise(given, Noise.SHUFFLE, 0.6, 1), 4).numpy()).mean() < 0.02
    plain, moved = (bench.pictures(one) for one in results)
    assert abs(plain - moved).max() > 0.02


def test_catalogue_a_wide_reference_in_tiles(bench):
    """Red on the left and blue on the right of a wide image: so they are in the result. Two tiles, two masks, one image."""
    wide = bench.graph.add(
        "ImageStitch", image1=bench.drawn("red")[0], image2=bench.drawn("blue")[0], direction="right",
        match_image_size=True, spacing_width=0, spacing_color="white",
    )[0]  # fmt: skip
    tiled = bench.graph.add(
        "IPAdapterCoreEncodeTiled", ip_adapter=bench.adapter, image=wide, clip_vision=bench.encoder, tiles=0
    )
    tiles, masks = bench.shown(tiled[1]), bench.masks(tiled[2])
    result = bench.sampled(bench.applied(tiled[0]))
    bench.run()
    left, right = bench.pictures(tiles)
    assert nearer(left, RED, BLUE) > 0.3 and nearer(right, BLUE, RED) > 0.3
    shares = bench.pictures(masks)
    assert len(shares) == 2 and abs(shares.sum(axis=0) - 1).max() < 2.01 / 255 and shares[0, :, :60].min() > 0.99
    picture = bench.pictures(result)[0]
    assert nearer(picture[:, :32], RED, BLUE) > 0.2 and nearer(picture[:, 32:], BLUE, RED) > 0.2


def test_catalogue_detail_in_a_graph(bench):
    """Detail 0 is the plain encoder to the byte, detail 1 another image in the same colours, shown at twice the size."""
    reference = bench.drawn("red", background_texture="checked", size=128)[0]
    closer = {"kind": "IPAdapterCoreEncodeDetailed", "tiles": 2}
    prompts = [bench.encoded(reference), *(bench.encoded(reference, **closer, detail=share) for share in (0.0, 1.0))]
    plain, none, all_ = (bench.sampled(bench.applied(prompt)) for prompt in prompts)
    bench.run()
    assert (bench.pictures(plain) == bench.pictures(none)).all()
    assert abs(bench.pictures(plain) - bench.pictures(all_)).max() > 0.02
    assert nearer(bench.pictures(all_), RED, BLUE) > 0.2
    small, large = (bench.pictures(prompt.node).shape[1] for prompt in (prompts[0], prompts[2]))
    assert large == 2 * small


def test_catalogue_style_and_composition_in_a_graph(bench):
    """The very image of two Apply nodes with these layers, both of which act; and without layers an explanation."""
    style, composition = (bench.encoded(bench.drawn(colour)[0]) for colour in ("red", "blue"))
    one, other = (
        bench.graph.add("IPAdapterCoreLayerWeights", preset="linear", blocks=blocks)[0]
        for blocks in ("0: 1, 1: 1, 2: 1, 3: 1", "4: 1, 5: 1, 6: 1")
    )
    values = {
        "style_weight": 0.9,
        "composition_weight": 0.6,
        "expand_style": False,
        "start_percent": 0.0,
        "end_percent": 1.0,
    }
    both = bench.graph.add(
        "IPAdapterCoreApplyStyleComposition", model=bench.model, ip_adapter=bench.adapter, style=style,
        composition=composition, style_layers=one, composition_layers=other, **values,
    )  # fmt: skip
    first = bench.applied(style, weight=0.9, layer_weights=one)
    second = bench.applied(composition, model=first, weight=0.6, layer_weights=other)
    shown = [bench.sampled(model) for model in (both[0], second, first, bench.model)]
    bench.run()
    together, chained, alone, plain = (bench.pictures(node) for node in shown)
    assert (together == chained).all()
    assert abs(together - alone).max() > 0.1 and abs(alone - plain).max() > 0.1
    assert nearer(together, BLUE, RED) > 0.2 > nearer(alone, BLUE, RED)  # the last layers make the demo's colours
    del both.inputs["style_layers"]
    with pytest.raises(GraphError, match="SD1.5 and SDXL.*Layer Weights"):
        bench.run()


def test_catalogue_regions_in_a_graph(bench):
    """Red on the left, and blue as the rest; with the halves exchanged, exchanged; words go under the masks."""
    red, blue = (bench.encoded(bench.drawn(colour)[0]) for colour in ("red", "blue"))
    shown = []
    for mask in half_masks(bench):
        regions = bench.graph.add(
            "IPAdapterCoreRegions", regions="2", positive=bench.words("circle"), **{
                "regions.image_prompt_1": red, "regions.mask_1": mask, "regions.weight_1": 1.0,
                "regions.prompt_1": bench.words("red circle on red"), "regions.image_prompt_2": blue,
                "regions.weight_2": 1.0,
            },
        )  # fmt: skip
        shown.append(bench.sampled(bench.applied(regions[0]), regions[1]))
    bench.run()
    for node, (red_part, blue_part) in zip(
        shown, ((slice(32), slice(32, 64)), (slice(32, 64), slice(32))), strict=True
    ):
        picture = bench.pictures(node)[0]
        assert nearer(picture[:, red_part], RED, BLUE) > 0.2 and nearer(picture[:, blue_part], BLUE, RED) > 0.2


def test_catalogue_regions_without_words_need_none(bench):
    """The image prompt alone; its text output is left."""
    prompt = bench.encoded(bench.drawn("red")[0])
    one = {"regions.image_prompt_1": prompt, "regions.weight_1": 1.0}
    regions = bench.graph.add("IPAdapterCoreRegions", regions="1", **one)
    shown = [bench.sampled(bench.applied(given)) for given in (regions[0], prompt)]
    bench.run()
    assert (bench.pictures(shown[0]) == bench.pictures(shown[1])).all()


def test_catalogue_a_saved_prompt_gives_the_same_picture(bench, client, server):
    """To the byte, in another workflow, without reference or encoder; the file says what it is; nothing leaves its folder."""
    prompt = bench.encoded(bench.drawn("red", background_texture="dotted")[0])
    saved = bench.graph.add("IPAdapterCoreSave", image_prompt=prompt, filename_prefix="tests/red", note="from a test")
    direct = bench.sampled(bench.applied(prompt))
    bench.run()
    (name,) = bench.outputs[str(saved.number)]["text"]
    again = Bench(client)
    loaded = again.graph.add("IPAdapterCoreLoadPrompt", file=name, negative_file="none")
    result = again.sampled(again.applied(loaded[0]))
    again.run()
    assert (again.pictures(result) == bench.pictures(direct)).all()
    (text,) = again.outputs[str(loaded.number)]["text"]
    assert "1 references" in text and "1 image of 64 x 64" in text
    with safe_open(kept(server) / "image_prompts" / name, "pt") as file:
        assert file.metadata()["note"] == "from a test" and file.metadata()["adapter"].endswith("base")
    saved.inputs["filename_prefix"] = "../../outside"
    with pytest.raises(
        GraphError, match=r"ipadapter_core\.errors\.InputError: filename_prefix of .* inside the output folder"
    ):
        bench.run()


def test_catalogue_embeds_of_the_other_pack_in_a_graph(bench, client, server):
    """An `.ipadpt` file in the input folder is offered; one that would run code is refused."""
    prompt = bench.encoded(bench.drawn("red")[0])
    saved = bench.graph.add("IPAdapterCoreSave", image_prompt=prompt, filename_prefix="tests/for_embeds")
    direct = bench.sampled(bench.applied(prompt))
    bench.run()
    with safe_open(kept(server) / "image_prompts" / bench.outputs[str(saved.number)]["text"][0], "pt") as file:
        features = file.get_tensor("image.0.features.0")
    inputs = kept(server).parent / "input"
    torch.save(features, inputs / "old.ipadpt")
    torch.save(Path("anything"), inputs / "hostile.ipadpt")
    again = Bench(client)
    loaded = again.graph.add("IPAdapterCoreLoadPrompt", file="old.ipadpt")
    result = again.sampled(again.applied(loaded[0]))
    again.run()
    assert (again.pictures(result) == bench.pictures(direct)).all()
    loaded.inputs["file"] = "hostile.ipadpt"
    with pytest.raises(
        GraphError,
        match="hostile.ipadpt: cannot be read .*found an object without tensors, expected a dictionary of tensors",
    ):
        again.run()


def kept(server) -> Path:
    """The server's output folder."""
    return Path(server.folder) / "output"


def test_catalogue_a_fade_over_frames(bench):
    """From a red reference to a blue one: the first frame red, the last blue, and the way between without turning back."""
    pair = bench.graph.add("IPAdapterCoreCombine", method="concat", **{
        f"image_prompts.image_prompt{number}": bench.encoded(bench.drawn(colour)[0])
        for number, colour in enumerate(("red", "blue"))
    })[0]  # fmt: skip
    row = bench.graph.add("IPAdapterCoreFrameWeights", weights="1, 0", timing="linear", frames=5)
    fade = bench.graph.add("IPAdapterCoreReferencesOverFrames", image_prompt=pair, weights=row[0], method="shift batches",
                           lead_in=1)  # fmt: skip
    each = {"references": "one per frame"}
    model = bench.applied(fade[1], model=bench.applied(fade[0], **each), **each)
    latent_count = fade[3]
    result = bench.sampled(model, count=latent_count)
    bench.run()
    frames = bench.pictures(result)
    assert len(frames) == 6 and len(bench.outputs[str(row.number)]["images"]) == 1
    colours = [nearer(frame, BLUE, RED) for frame in frames]
    assert colours[0] < -0.2 and colours[1] < -0.2 and colours[-1] > 0.2
    assert all(later > earlier - 0.05 for earlier, later in zip(colours[1:], colours[2:], strict=False))


def test_catalogue_prompts_over_frames_in_a_graph(bench):
    """Each frame is the image that its own line alone would give there."""
    travel = bench.graph.add(
        "IPAdapterCorePromptsOverFrames",
        clip=bench.clip,
        prompts="red star on blue\n\nblue ring on yellow",
        frames_each=2,
    )
    mixed = bench.sampled(bench.model, travel[0], count=4)
    alone = [
        bench.sampled(bench.model, bench.words(line), count=4) for line in ("red star on blue", "blue ring on yellow")
    ]
    bench.run()
    first, second = (bench.pictures(node) for node in alone)
    got = bench.pictures(mixed)
    assert abs(got[:2] - first[:2]).max() < 2.01 / 255 and abs(got[2:] - second[2:]).max() < 2.01 / 255
    assert abs(first[2:] - second[2:]).mean() > 0.05
