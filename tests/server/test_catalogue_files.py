"""Saved prompts and weights over frames in a real server, on the demo world."""

from pathlib import Path

import pytest
import torch
from pack.tests.oracles.demo_workflow import BLUE, RED, Bench, nearer
from pack.tools.comfyui.client import GraphError
from safetensors import safe_open

pytestmark = pytest.mark.catalogue


@pytest.fixture
def bench(client):
    return Bench(client)


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
