"""The workflows of `workflows/` for people's tasks, run in a real server on the demo world: each keeps what it promises."""

import copy
import io

import numpy as np
import pytest
import torch
from pack.demo.fitting import fit_shape
from pack.demo.load import BASE_FILE, LORA_FILE, UNET_PREFIX, base_model, below, read_weights
from pack.demo.measure import outline_followed, palette, palette_distance, shape_kept
from pack.demo.pictures import Request, draw
from pack.demo.training.lora import FRAME, changed, new_lora
from pack.demo.world import COLOURS
from pack.tools.comfyui.api_prompt import graph_file, node, set_inputs, without_adapter
from pack.tools.demo.picture_grid import tensor
from pack.tools.workflows.by_task import DEMO_TEXTS, REAL_TEXTS
from pack.tools.workflows.catalogue import GRAPHS
from PIL import Image, ImageSequence

import comfy.lora
import comfy.sd

pytestmark = pytest.mark.catalogue

BLUE, GREEN, YELLOW, WHITE, PURPLE = (
    torch.tensor(COLOURS[name]) for name in ("blue", "green", "yellow", "white", "purple")
)
NEAR = 0.3  # in RGB: two unrelated images of the world are 0.57 apart


def made(client, prompt):
    """The images that a workflow saves, (B, 64, 64, 3)."""
    entries = client.run(prompt)[node(prompt, "SaveImage")]["images"]
    return torch.cat([tensor(client.picture(entry)) for entry in entries])


def drawn(prompt, title):
    """A workflow's own drawing, as image, outline and mask."""
    words = dict(prompt[node(prompt, "DemoWorldPicture", title)]["inputs"])
    seed, size, count = (words.pop(name) for name in ("seed", "size", "batch_size"))
    return draw(Request(**{name: None if word == "any" else word for name, word in words.items()}), seed, count, size)


def far(found, colour):
    """The distance of mean colours (..., 3) from one."""
    return (found - colour).norm(dim=-1)


@pytest.fixture
def graph(client, request):
    """The workflow that a test is about, in fewer steps: what is measured hardly changes."""
    prompt = graph_file(request.param, client.object_info())
    set_inputs(prompt, "KSampler", steps=8)
    return prompt


def about(name):
    return pytest.mark.parametrize("graph", [name], indirect=True)


@about("demo_brand_style")
def test_catalogue_a_brands_style_over_several_subjects(client, graph):
    """Four shapes, each the one its line names, all in the reference's colours; without the adapter they are not."""
    pictures, plain = made(client, graph), made(client, without_adapter(graph))
    brand = drawn(graph, "The brand").picture
    lines = graph[node(graph, "IPAdapterCorePromptsOverFrames")]["inputs"]["prompts"].splitlines()
    distance, before = palette_distance(pictures, brand), palette_distance(plain, brand)
    print("palette distance", distance, "without", before)
    assert len(pictures) == len(lines) == 4
    assert all(bool(shape_kept(pictures[[i]], line.split()[-1])) for i, line in enumerate(lines))
    assert distance.max() < NEAR and before.mean() > distance.mean() + 0.2


@about("demo_character")
def test_catalogue_one_character_in_several_scenes(client, graph):
    """The figure keeps its colour on every ground, and the ground is the one its line names."""
    pictures = made(client, graph)
    found, plain = palette(pictures), palette(made(client, without_adapter(graph)))
    figure = palette(drawn(graph, "Image 1").picture)[0, 0]
    grounds = torch.stack([GREEN, BLUE, YELLOW])
    print("figure", far(found[:, 0], figure), "without", far(plain[:, 0], figure), "ground", far(found[:, 1], grounds))
    assert shape_kept(pictures, "heart").all()
    assert far(found[:, 0], figure).max() < NEAR and far(plain[:, 0], figure).mean() > NEAR
    assert far(found[:, 1], grounds).max() < NEAR


@about("demo_style_transfer")
def test_catalogue_style_is_transferred_from_an_artwork(client, graph):
    """The content's shape stays in its place, in the artwork's colours."""
    pictures = made(client, graph)
    content, artwork = drawn(graph, "Content"), drawn(graph, "Artwork")
    overlap, distance = outline_followed(pictures, content.mask), palette_distance(pictures, artwork.picture)
    before = palette_distance(content.picture, artwork.picture)
    print("overlap", overlap, "palette distance", distance, "of the content", before)
    assert shape_kept(pictures, "heart").all() and overlap.min() > 0.7
    assert distance.max() < NEAR < before.min()


@about("demo_composition_transfer")
def test_catalogue_composition_and_style_of_two_pictures(client, graph):
    """The shape of one in its place, in the other's colours, and not its own."""
    pictures, composition, style = made(client, graph), drawn(graph, "Composition"), drawn(graph, "Style")
    overlap, distance = outline_followed(pictures, composition.mask), palette_distance(pictures, style.picture)
    own = palette_distance(pictures, composition.picture)
    print("overlap", overlap, "palette distance to the style", distance, "to the composition", own)
    assert shape_kept(pictures, "moon").all() and overlap.min() > 0.7
    assert distance.max() < NEAR < own.min()


@about("demo_two_regions")
def test_catalogue_two_styles_in_two_regions(client, graph):
    """Each half of the star and of the ground has its own reference's colours; exchanged references, exchanged halves."""
    titles = ("Left", "Right")
    swapped = copy.deepcopy(graph)
    regions = swapped[node(swapped, "IPAdapterCoreRegions")]["inputs"]
    one, two = "regions.image_prompt_1", "regions.image_prompt_2"
    regions[one], regions[two] = regions[two], regions[one]
    styles = torch.cat([palette(drawn(graph, title).picture) for title in titles])
    for order, prompt in ((styles, graph), (styles.flip(0), swapped)):
        pictures = made(client, prompt)
        found = halves(pictures)
        print("distance to its own reference", far(found, order), "to the other", far(found, order.flip(0)))
        assert shape_kept(pictures, "star").all()
        assert (far(found, order) < NEAR).all() and (far(found, order) + 0.2 < far(found, order.flip(0))).all()


def halves(pictures):
    """The mean colours inside and outside the shape, of the left half and of the right: (2, 2, 3)."""
    inside = fit_shape(pictures).mask[0] > 0.5
    sides = (slice(0, 28), slice(36, 64))
    return torch.stack([
        torch.stack([pictures[0, :, side][part[:, side]].mean(dim=0) for part in (inside, ~inside)]) for side in sides
    ])  # fmt: skip


@about("demo_faceless_portrait")
def test_catalogue_a_portrait_without_its_face(client, graph):
    """The ground is the portrait's, the figure's colour the prompt's; with the face seen, the figure is the portrait's."""
    seen = copy.deepcopy(graph)
    del seen[node(seen, "IPAdapterCoreEncode")]["inputs"]["mask"]
    faceless, faced = (palette(made(client, prompt))[0] for prompt in (graph, seen))
    portrait = palette(drawn(graph, "Portrait").picture)[0]
    print("ground", far(faceless[1], portrait[1]), "figure to prompt", far(faceless[0], PURPLE),
          "to the face", far(faceless[0], portrait[0]), "with the face seen", far(faced[0], portrait[0]))  # fmt: skip
    assert far(faceless[1], portrait[1]) < NEAR
    assert far(faceless[0], PURPLE) < far(faceless[0], portrait[0]) - 0.2
    assert far(faced[0], portrait[0]) < far(faceless[0], portrait[0]) - 0.2


@about("demo_animated_blend")
def test_catalogue_references_blend_over_frames(client, graph):
    """Twelve frames that begin at the first reference, pass the second and end at the third, without a leap."""
    outputs = client.run(graph)
    frames = torch.cat([tensor(client.picture(one)) for one in outputs[node(graph, "SaveImage")]["images"]])
    references = [drawn(graph, f"Reference {number}").picture for number in (1, 2, 3)]
    distance = torch.stack([palette_distance(frames, one) for one in references])
    print("palette distance by frame\n", distance)
    assert frames.shape[0] == 12 and shape_kept(frames, "star").all()
    nearest = distance.argmin(dim=0)
    assert nearest[0] == 0 and nearest[-1] == 2 and (nearest.diff() >= 0).all() and 1 in nearest
    assert all(float(row.min()) < NEAR for row in distance)
    (clip,) = outputs[node(graph, "SaveAnimatedWEBP")]["images"]
    moving = [
        np.asarray(one.convert("RGB")) for one in ImageSequence.Iterator(Image.open(io.BytesIO(client.picture(clip))))
    ]
    assert len(moving) == 12 and abs(moving[-1] / 255 - frames[-1].numpy()).max() < 2.01 / 255


@about("demo_controlnet_and_lora")
def test_catalogue_adapter_controlnet_and_lora_together(client, graph):
    """Colours of the reference inside the outline, in a white frame; each of the three goes when it is taken away."""
    picture = made(client, graph)
    layout, style = drawn(graph, "Layout").mask, drawn(graph, "Reference").picture
    taken = {}
    for kind, change in (("LoraLoaderModelOnly", "strength_model"), ("ControlNetApplyAdvanced", "strength"),
                         ("IPAdapterCoreApply", "weight")):  # fmt: skip
        less = copy.deepcopy(graph)
        set_inputs(less, kind, **{change: 0.0})
        taken[kind] = made(client, less)
    without_lora, without_control, without_image = taken.values()
    whiteness = {name: float(far(rim(one), WHITE)) for name, one in (("all", picture), ("no LoRA", without_lora))}
    overlap = {
        name: float(outline_followed(one, layout)) for name, one in (("all", picture), ("no CN", without_control))
    }
    colour = {name: float(far(palette(cut(one)), palette(cut(style))).mean())
              for name, one in (("all", picture), ("no image", without_image))}  # fmt: skip
    print("rim from white", whiteness, "overlap", overlap, "palette distance", colour)
    assert whiteness["all"] < 0.15 < NEAR < whiteness["no LoRA"]
    assert overlap["all"] > 0.8 > overlap["no CN"]
    assert colour["all"] < NEAR < colour["no image"]


def test_catalogue_the_demos_lora_acts_as_it_was_trained():
    """ComfyUI's own loader adds the very product of its factors, to every layer of the file and to no other."""
    factors = {key.removeprefix("diffusion_model."): value for key, value in read_weights(LORA_FILE).items()}
    base = base_model(below(UNET_PREFIX, read_weights(BASE_FILE)))
    whole = {f"diffusion_model.{key}": value for key, value in factors.items()}
    patched, _ = comfy.sd.load_lora_for_models(base, None, whole, 1.0, 0.0)
    weights = dict(base.model.diffusion_model.named_parameters())
    wanted = changed(weights, factors)
    assert {key.removeprefix("diffusion_model.") for key in patched.patches} == wanted.keys() == {
        key.removesuffix(".lora_up.weight") + ".weight" for key in new_lora(weights) if key.endswith(".lora_up.weight")
    }  # fmt: skip
    for key, weight in wanted.items():
        name = f"diffusion_model.{key}"
        found = comfy.lora.calculate_weight(patched.patches[name], weights[key].detach().clone(), name)
        assert (found - weight).abs().max() < 1e-6 and (weight - weights[key]).abs().max() > 1e-3


def rim(pictures):
    """The mean colour of the outermost pixels."""
    edge = torch.ones(64, 64, dtype=torch.bool)
    edge[FRAME - 1 : 1 - FRAME, FRAME - 1 : 1 - FRAME] = False
    return pictures[0][edge].mean(dim=0)


def cut(pictures):
    """What is inside the frame, the rim taken from next to it."""
    inside = pictures[:, FRAME + 1 : -FRAME - 1, FRAME + 1 : -FRAME - 1].movedim(-1, 1)
    return torch.nn.functional.pad(inside, (FRAME + 1,) * 4, mode="replicate").movedim(1, -1)


@pytest.mark.parametrize("name", sorted(REAL_TEXTS))
def test_catalogue_every_task_is_there_for_published_files(name):
    """Beside its demo version, the same nodes but for loaders and images; every file has an address and a folder."""
    real, demo = GRAPHS[name](), GRAPHS["demo_" + name.partition("_")[2]]()
    ours = [[one.kind for one in graph.nodes if one.kind.startswith("IPAdapterCore")] for graph in (real, demo)]
    assert (ours[0] == ours[1]) != (name == "sdxl_composition_transfer")  # the demo's adapter knows no composition
    assert len(REAL_TEXTS) == len(DEMO_TEXTS) == 8
    files = [file for one in real.nodes for file in one.models]
    assert len(files) >= 3 and {file["directory"] for file in files} >= {"checkpoints", "clip_vision", "ipadapter"}
    values = {value for one in real.nodes for value in one.inputs.values() if isinstance(value, str)}
    for file in files:
        assert file["url"].startswith("https://huggingface.co/") and "/resolve/main/" in file["url"]
        assert file["name"] in values
