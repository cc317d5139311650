"""Every feature that an adapter reads survives being saved; a stranger's file is refused with one sentence."""

import json
import math
import zipfile

import pytest
import torch
from pack.ipadapter_core.checkpoint.enums import Feature
from pack.ipadapter_core.checkpoint.features import FEATURES
from pack.ipadapter_core.errors import ImagePromptError
from pack.ipadapter_core.limits import MESSAGE, REFERENCES
from pack.ipadapter_core.masks.canvas_mask import canvas_mask
from pack.ipadapter_core.prompt.files import FORMAT, load_prompt, packed, read_embeds, save_prompt
from pack.ipadapter_core.prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from pack.tools.time_bars import within
from safetensors.torch import save_file

pytestmark = [pytest.mark.inputs, pytest.mark.trust]


def parts_of(feature, seed):
    """Numbers of the shapes that the feature's row says."""
    generator = torch.Generator().manual_seed(seed)
    made = [torch.randn(1, *(5,) * (count - 2), 8, generator=generator) for count in FEATURES[feature].parts]
    return made[0] if len(made) == 1 else tuple(made)


def prompt_of(feature):
    image = EncodedImage(parts_of(feature, 1), parts_of(feature, 2))
    return ImagePrompt((Reference(image, 0.5, canvas_mask(torch.rand(1, 4, 6))), Reference(image)), feature, "encoder")


def test_every_feature_has_a_row():
    """A feature without one could be saved and not be loaded."""
    assert FEATURES.keys() == set(Feature)


@pytest.mark.parametrize("feature", Feature, ids=lambda feature: feature.name)
def test_every_feature_comes_back(feature, tmp_path):
    """Bit for bit; PE-Core's too, which could be saved and not be loaded."""
    prompt = prompt_of(feature)
    save_prompt(prompt, tmp_path / "p.safetensors")
    back = load_prompt(tmp_path / "p.safetensors")
    assert back.feature is feature and back.references[0].image is back.references[1].image
    for one, other in zip(back.references, prompt.references, strict=True):
        assert one.weight == other.weight
        for side in ("features", "negative"):
            found, wanted = (getattr(each.image, side) for each in (one, other))
            found, wanted = ((part,) if isinstance(part, torch.Tensor) else part for part in (found, wanted))
            assert all(torch.equal(*pair) for pair in zip(found, wanted, strict=True))


def test_others_may_read_it_as_any_new_file(tmp_path):
    """A server's files are read by more than the user that it runs as; safetensors' own are closed to everybody else."""
    (tmp_path / "any").touch()
    save_prompt(prompt_of(next(iter(FEATURES))), tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "any").stat().st_mode


def changed(**metadata):
    return lambda tensors, words: (tensors, words | metadata)


def with_tensor(name, tensor):
    return lambda tensors, words: (tensors | {name: tensor}, words)


def listing(*entries):
    return changed(references=json.dumps(entries))


ENTRY = {"image": 0, "weight": 1.0, "mask": None}
STRANGERS = {
    "100,000 references": listing(*[ENTRY] * 100_000),
    "references that are a dictionary": changed(references="{}"),
    "references that are deep": changed(references="[" * 100_000),
    "a weight of 5,000 digits": changed(references='[{"image": 0, "mask": null, "weight": ' + "9" * 5000 + "}]"),
    "a weight of 1e308": listing(ENTRY | {"weight": 1e308}),
    "a weight of infinity": changed(references='[{"image": 0, "mask": null, "weight": Infinity}]'),
    "a weight that is a text": listing(ENTRY | {"weight": "1"}),
    "an image of 4,000 digits": changed(references='[{"image": ' + "9" * 4000 + ', "mask": null, "weight": 1}]'),
    "an unknown feature of a megabyte": changed(feature="x" * 1_000_000),
    "features of NaN": with_tensor("image.0.features.0", torch.full((1, 8), math.nan)),
    "a negative of infinity": with_tensor("image.0.negative.0", torch.full((1, 8), math.inf)),
    "features of whole numbers": with_tensor("image.0.features.0", torch.ones(1, 8, dtype=torch.int64)),
    "complex features": with_tensor("image.0.features.0", torch.ones(1, 8, dtype=torch.complex64)),
    "features of four dimensions": with_tensor("image.0.features.0", torch.ones(1, 1, 1, 8)),
    "no features": with_tensor("image.0.features.0", torch.ones(1, 0)),
    "two images in one": with_tensor("image.0.features.0", torch.ones(2, 8)),
    "another width": with_tensor("image.0.features.0", torch.ones(1, 9)),
    "a mask of NaN": with_tensor("mask.0.values", torch.full((1, 4, 6), math.nan)),
    "a mask without edges": with_tensor("mask.0.rows", torch.ones(1, dtype=torch.float64)),
    "edges that fall": with_tensor("mask.0.rows", torch.tensor([0, 0.7, 0.3, 0.5, 1.0], dtype=torch.float64)),
    "an empty mask": with_tensor("mask.0.values", torch.ones(0, 4, 6)),
    "another format": changed(format="y" * 1_000_000),
}  # fmt: skip


@pytest.mark.parametrize("case", STRANGERS)
def test_prompts_from_strangers(case, tmp_path):
    """One sentence of bounded length that names the file and the node, at once."""
    tensors, words = STRANGERS[case](*packed(prompt_of(Feature.POOLED)))
    save_file(tensors, tmp_path / "stranger.safetensors", words)
    refused(load_prompt, tmp_path / "stranger.safetensors")


def refused(read, path):
    with within(2), pytest.raises(ImagePromptError) as caught:
        read(path)
    assert path.name in str(caught.value) and "Load Image Prompt" in str(caught.value)
    assert len(str(caught.value)) <= MESSAGE


def test_small_floats_are_read_as_larger_ones(tmp_path):
    """Features of 8 bits become 32, which every layer can compute with."""
    tensors, words = packed(prompt_of(Feature.POOLED))
    small = {key: one.to(torch.float8_e4m3fn) if key.startswith("image") else one for key, one in tensors.items()}
    save_file(small, tmp_path / "small.safetensors", words)
    found = load_prompt(tmp_path / "small.safetensors").references[0].image.features
    assert found.dtype is torch.float32 and torch.equal(found, small["image.0.features.0"].float())


def deflated(path):
    """An `.ipadpt` of zeros in an archive that is compressed, as no writer makes it."""
    torch.save(torch.zeros(1000, 1000), path)
    with zipfile.ZipFile(path) as archive:
        members = {one.filename: archive.read(one) for one in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def saved(tensor):
    return lambda path: torch.save(tensor, path)


EMBEDS = {
    "deflated": deflated,
    "strided over nothing": saved(torch.zeros(1).expand(10**9, 8)),
    "sparse": saved(torch.eye(4).to_sparse()),
    "on no device": saved(torch.zeros(1, 8, device="meta")),
    "whole numbers": saved(torch.ones(1, 8, dtype=torch.int32)),
    "complex": saved(torch.ones(1, 8, dtype=torch.complex64)),
    "NaN": saved(torch.full((1, 8), math.nan)),
    "empty": saved(torch.zeros(0, 8)),
    "a list": saved([1, 2]),
    "a dictionary": saved({"a": torch.zeros(1, 8)}),
    "five dimensions": saved(torch.zeros(1, 1, 1, 1, 8)),
    "too many": saved(torch.zeros(REFERENCES + 1, 8)),
    "safetensors": lambda path: save_file({"a": torch.zeros(1, 8)}, path),
    "nothing": lambda path: path.write_bytes(b""),
    "a web page": lambda path: path.write_bytes(b"<html>"),
}  # fmt: skip


@pytest.mark.parametrize("case", EMBEDS)
def test_embeds_from_strangers(case, tmp_path):
    """The same of `.ipadpt`: nothing of it is run, nothing is unpacked."""
    path = tmp_path / "stranger.ipadpt"
    EMBEDS[case](path)
    refused(read_embeds, path)


def test_a_prompt_of_too_many_references_is_not_made():
    """However it came about: two nodes that double it again and again, or a file."""
    one = prompt_of(Feature.POOLED)
    with pytest.raises(ImagePromptError, match="at most 4096 go together"):
        one.with_references(one.references * 3000)
    assert FORMAT in packed(one)[1].values()
