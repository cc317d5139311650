"""Saved image prompts: everything comes back, and nothing that a file says is believed unread."""

import json
import pickle
from dataclasses import replace

import pytest
import torch
from pack.ipadapter_core.checkpoint.spec import Feature
from pack.ipadapter_core.errors import ImagePromptError
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.prompt.combine import combine, weigh
from pack.ipadapter_core.prompt.files import load_prompt, packed, prompt_of_embeds, read_embeds, save_prompt
from pack.ipadapter_core.prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.naive_layer import bench, effect, picture, prompt, query
from safetensors import safe_open
from safetensors.torch import save_file

pytestmark = pytest.mark.catalogue


@pytest.fixture
def rich():
    """Four references: two under one mask, one under a mask of two frames, one without."""
    pair = weigh(prompt(picture(2), picture(3, 0.5)), 0.5, torch.rand(1, 7, 9))
    clip = weigh(prompt(picture(4)), -1.0, torch.rand(2, 4, 4))
    joined = combine([pair, clip, prompt(picture(2))])
    return replace(joined, adapter="SD1.5, base", made_from="a test")


def test_catalogue_a_saved_prompt_is_the_same_prompt(rich, tmp_path):
    """Bit for bit, shared masks shared again, with the same effect on a model."""
    save_prompt(rich, tmp_path / "one.safetensors", "my note")
    back = load_prompt(tmp_path / "one.safetensors")
    assert (back.feature, back.encoder, back.adapter, back.made_from) == (
        Feature.POOLED,
        "a test",
        "SD1.5, base",
        "a test",
    )
    for one, other in zip(back.references, rich.references, strict=True):
        assert one.weight == other.weight and torch.equal(one.image.features, other.image.features)
        assert torch.equal(one.image.negative, other.image.negative)
        assert (one.mask is None) == (other.mask is None)
        assert one.mask is None or all(torch.equal(*parts) for parts in zip(one.mask, other.mask, strict=True))
    assert back.references[0].mask is back.references[1].mask is not back.references[2].mask
    model, adapter, _ = bench()
    got, expected = (
        effect(apply_image_prompt(model, adapter, one, Strength(0.8)), 0, query(32)) for one in (back, rich)
    )
    assert torch.equal(got, expected) and got.any()


def test_catalogue_the_metadata_says_where_it_is_from(rich, tmp_path):
    """For anybody who opens the file; a shared image is there once."""
    save_prompt(combine([rich, rich]), tmp_path / "one.safetensors", "my note")
    with safe_open(tmp_path / "one.safetensors", "pt") as file:
        metadata, names = file.metadata(), set(file.keys())
    assert metadata["encoder"] == "a test" and metadata["adapter"] == "SD1.5, base" and metadata["note"] == "my note"
    assert metadata["feature"] == "image_embeds" and len(json.loads(metadata["references"])) == 8
    assert {name.split(".")[1] for name in names if name.startswith("image")} == {"0", "1", "2", "3"}
    assert {name.split(".")[1] for name in names if name.startswith("mask")} == {"0", "1"}


def test_catalogue_prompts_of_several_parts_come_back(tmp_path):
    """Faces with images, content and style: tuples of features."""
    parts = (torch.randn(1, 8), torch.randn(1, 5, 6), torch.tensor([[1.0, 0.5]]))
    image = EncodedImage(parts, tuple(torch.zeros_like(part) for part in parts))
    given = ImagePrompt((Reference(image),), Feature.FACE_AND_PICTURE, "faces")
    save_prompt(given, tmp_path / "face.safetensors")
    back = load_prompt(tmp_path / "face.safetensors").references[0].image
    assert isinstance(back.features, tuple) and all(map(torch.equal, back.features, parts))


def broken(metadata, tensors):
    """Ways in which a file may not be what it says, each with a word of the complaint."""
    images = json.loads(metadata["references"])
    yield "format", metadata | {"format": "something else"}, tensors
    yield "no_such_feature", metadata | {"feature": "no_such_feature"}, tensors
    yield "penultimate|features", metadata | {"feature": Feature.HIDDEN.value}, tensors
    yield "image.77", metadata | {"references": json.dumps([images[0] | {"image": 77}])}, tensors
    yield "reference", metadata | {"references": json.dumps([images[0] | {"image": "0"}])}, tensors
    yield "reference", metadata | {"references": '[{"image": 0, "weight": NaN, "mask": null}]'}, tensors
    yield "no reference", metadata | {"references": "[]"}, tensors
    yield "no list of references", metadata | {"references": "[" * 100000}, tensors
    yield "image 0", metadata | {"references": "{}"}, tensors | {"image.0.features.0": torch.zeros(3, 4)}
    yield "features.0 holds I32", metadata, tensors | {"image.0.features.0": torch.zeros(1, 64, dtype=torch.int32)}
    for shape in ((1, 63), (1, 1, 64), (2, 64)):
        yield "image 0", metadata, tensors | {"image.0.negative.0": torch.zeros(shape)}
    yield "mask 0", metadata, tensors | {"mask.0.rows": torch.zeros(8)}
    yield "mask 0", metadata, tensors | {"mask.0.values": torch.zeros(1, 70, 9)}


def test_catalogue_files_that_lie_are_refused(rich, tmp_path):
    """With one sentence that names the file and the node, never with a crash."""
    tensors, metadata = packed(rich)
    path = tmp_path / "bad.safetensors"
    for word, words, parts in broken(metadata, tensors):
        if words["references"] == "{}":
            words = metadata
        save_file(parts, path, words)
        with pytest.raises(ImagePromptError, match=f"(?s)bad.safetensors.*({word}).*Load Image Prompt"):
            load_prompt(path)
    for data in (b"", b"<html>", path.read_bytes()[:40]):
        path.write_bytes(data)
        with pytest.raises(ImagePromptError, match="bad.safetensors: cannot be read"):
            load_prompt(path)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


def test_catalogue_embeds_of_the_other_pack_are_read_and_nothing_is_run(tmp_path):
    """A tensor comes back; a pickle that would run code does not."""
    kept = torch.randn(2, 5, 8, dtype=torch.float16)
    torch.save(kept, tmp_path / "good.ipadpt")
    assert torch.equal(read_embeds(tmp_path / "good.ipadpt"), kept)
    marker = tmp_path / "ran"
    (tmp_path / "raw.ipadpt").write_bytes(pickle.dumps(Bomb(marker)))
    torch.save({"embeds": Bomb(marker)}, tmp_path / "zip.ipadpt")
    torch.save([kept], tmp_path / "list.ipadpt")
    torch.save(torch.zeros(3), tmp_path / "flat.ipadpt")
    for name in ("raw", "zip", "list", "flat"):
        with pytest.raises(ImagePromptError, match=f"{name}.ipadpt.*Load Image Prompt"):
            read_embeds(tmp_path / f"{name}.ipadpt")
    assert not marker.exists()


def test_catalogue_embeds_become_a_prompt():
    """A reference for each row; pooled or hidden by the shape; the negative zeros or what is given, the last one staying."""
    hidden, negative = torch.randn(3, 5, 1280).half(), torch.randn(2, 5, 1280)
    plain, against = prompt_of_embeds(hidden, name="a.ipadpt"), prompt_of_embeds(hidden, negative)
    assert plain.feature is Feature.HIDDEN and "ViT-H/14" in plain.encoder and plain.made_from == "a.ipadpt"
    assert torch.equal(torch.cat([one.image.features for one in plain.references]), hidden.float())
    assert not any(one.image.negative.any() for one in plain.references)
    for one, row in zip(against.references, (0, 1, 1), strict=True):
        assert torch.equal(one.image.negative[0], negative[row])
    assert prompt_of_embeds(torch.randn(1, 1024)).feature is Feature.POOLED
    with pytest.raises(ImagePromptError, match="negative.*same shape"):
        prompt_of_embeds(hidden, torch.randn(1, 1024))
