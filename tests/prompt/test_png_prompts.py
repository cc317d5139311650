"""Image prompts inside PNGs: back to the bit, shown as the reference, and refused in one sentence where something is wrong."""

import base64
import io
import os
import struct
import zlib

import numpy
import pytest
import torch
from pack.ipadapter_core.checkpoint.enums import Feature
from pack.ipadapter_core.checkpoint.features import FEATURES
from pack.ipadapter_core.drawing.contact_sheet import contact_sheet
from pack.ipadapter_core.errors import ImagePromptError
from pack.ipadapter_core.limits import MESSAGE, PNG_CHUNKS, PNG_PROMPT_BYTES, PNG_SIDE
from pack.ipadapter_core.masks.canvas_mask import canvas_mask
from pack.ipadapter_core.prompt import png_prompts
from pack.ipadapter_core.prompt.files import load_prompt, packed, save_prompt
from pack.ipadapter_core.prompt.image_prompt import EncodedImage, ImagePrompt, Reference
from pack.ipadapter_core.prompt.png_prompts import holds_prompt, prompt_bytes, seen_images
from pack.ipadapter_core.prompt.png_text import KEYWORD, SIGNATURE, text_bytes
from pack.tools.time_bars import within
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save

pytestmark = [pytest.mark.inputs, pytest.mark.trust]

SHOWN = torch.randint(0, 256, (12, 20, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))


def prompt_of(feature=Feature.POOLED, seen=SHOWN):
    generator = torch.Generator().manual_seed(1)
    parts, negative = (
        tuple(torch.randn(1, *(5,) * (count - 2), 8, generator=generator) for count in FEATURES[feature].parts)
        for _ in range(2)
    )
    one = EncodedImage(*((side[0] if len(side) == 1 else side) for side in (parts, negative)), seen)
    mask = canvas_mask(torch.rand(1, 4, 6, generator=generator))
    return ImagePrompt((Reference(one, 0.5, mask), Reference(one)), feature, "encoder", "adapter", "a test")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "style.png"
    save_prompt(prompt_of(), path, "my note", SHOWN)
    return path


def chunk(kind, data):
    """A chunk with a right checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunks(path, *chunks):
    """A PNG of one pixel with these chunks before its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    path.write_bytes(
        SIGNATURE + b"".join((header, *chunks, chunk(b"IDAT", zlib.compress(bytes(4))), chunk(b"IEND", b"")))
    )
    return path


def text_of(prompt):
    tensors, words = packed(prompt)
    return base64.b64encode(save(tensors, words))


@pytest.mark.parametrize("feature", Feature, ids=lambda feature: feature.name)
def test_every_feature_comes_back_out_of_an_image(feature, tmp_path):
    """Bit for bit with weights and masks, and the image is an image."""
    prompt, path = prompt_of(feature), tmp_path / "one.png"
    save_prompt(prompt, path, shown=SHOWN)
    back = load_prompt(path)
    (tensors, words), (wanted, said) = packed(back), packed(prompt)
    assert words == said and tensors.keys() == wanted.keys()
    assert all(torch.equal(tensors[key], wanted[key]) for key in wanted)
    assert numpy.array_equal(numpy.asarray(Image.open(path)), SHOWN.numpy())
    assert not list(tmp_path.glob(".*"))


def test_the_note_is_in_the_metadata(file):
    """As in a safetensors file."""
    with file.open("rb") as opened:
        assert b'"note":"my note"' in prompt_bytes(opened)


@pytest.mark.parametrize("how", ["zTXt", "iTXt", "iTXt deflated"])
def test_a_text_of_another_kind_is_read(how, tmp_path):
    """Programs that keep texts and write them in their own way lose nothing."""
    text, info = text_of(prompt_of()).decode(), PngInfo()
    if how == "zTXt":
        info.add_text(KEYWORD, text, zip=True)
    else:
        info.add_itxt(KEYWORD, text, "en", KEYWORD, zip=how.endswith("deflated"))
    Image.new("RGB", (3, 3)).save(tmp_path / "other.png", pnginfo=info)
    assert how[:4].encode() in (tmp_path / "other.png").read_bytes()
    assert torch.equal(
        load_prompt(tmp_path / "other.png").references[0].image.features, prompt_of().references[0].image.features
    )


def test_the_content_decides_and_not_the_name(file, tmp_path):
    """A PNG under another name is read as one."""
    path = file.rename(tmp_path / "style.safetensors")
    assert len(load_prompt(path).references) == 2


def flipped(data):
    place = data.index(KEYWORD.encode()) + 40
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def written(*chunks):
    return lambda path, _: with_chunks(path, *chunks)


def changed(change):
    return lambda path, data: path.write_bytes(change(data))


def saved_anew(path, data):
    Image.open(io.BytesIO(data)).save(path)


def named(data, kind=b"tEXt"):
    return chunk(kind, KEYWORD.encode() + b"\0" + data)


BOMB = zlib.compress(bytes(2**20), 9)
WHOLE = text_of(prompt_of())
STRANGERS = {
    "saved anew by Pillow": (saved_anew, "an image without an image prompt"),
    "an image of another program": (written(chunk(b"tEXt", b"workflow\0{}")), "an image without an image prompt"),
    "a longer keyword": (written(chunk(b"tEXt", KEYWORD.encode() + b"s\0AAAA")), "an image without an image prompt"),
    "cut in the prompt": (changed(lambda data: data[:200]), "cut short"),
    "cut before its pixels": (written(chunk(b"tEXt", b"a\0b")[:-6]), "cut short|more than"),
    "a bit turned over": (changed(flipped), "checksum"),
    "a text of 2 GB that is not there": (written(struct.pack(">I", 2**31 - 1) + b"tEXt" + KEYWORD.encode() + b"\0"), "at most"),
    "base64 that is cut": (written(named(WHOLE[:-3])), "no whole base64"),
    "no base64": (written(named(b"<html>" * 40)), "no whole base64"),
    "no text": (written(named(b"")), "cannot be read"),
    "another safetensors file": (written(named(base64.b64encode(save({"a": torch.zeros(1)})))), "found format 'None'"),
    "safetensors that end early": (written(named(base64.b64encode(base64.b64decode(WHOLE)[:-8]))), "ends at"),
    "a deflated text that is cut": (written(named(b"\0" + zlib.compress(WHOLE)[:-20], b"zTXt")), "cut short"),
    "a deflated text that is none": (written(named(b"\0" + WHOLE, b"zTXt")), "deflated text in the PNG is damaged"),
    "more parts than image programs write": (written(*[chunk(b"tEXt", b"a\0b")] * (PNG_CHUNKS + 1)), "parts before its pixels"),
    "nothing behind its signature": (changed(lambda data: data[:8]), "cut short"),
}  # fmt: skip


@pytest.mark.parametrize("case", STRANGERS)
def test_images_from_strangers(case, file):
    """One sentence that names the file and the node, at once."""
    change, said = STRANGERS[case]
    change(file, file.read_bytes())
    refused(file, said)


def refused(path, said):
    with within(2), pytest.raises(ImagePromptError, match=f"(?s)style.png: .*({said}).*Load Image Prompt") as caught:
        load_prompt(path)
    assert len(str(caught.value)) <= MESSAGE and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt"])
def test_a_bomb_is_not_inflated(kind, file, monkeypatch):
    """A megabyte in a kilobyte: no more is made of it than the limit and one byte. Fails when a text is inflated whole."""
    start = {b"zTXt": b"\0", b"iTXt": b"\1\0\0\0"}[kind]
    with_chunks(file, named(start + BOMB, kind))
    monkeypatch.setattr(png_prompts, "PNG_PROMPT_BYTES", 3_000)
    refused(file, "more than 4000 bytes of text")


def test_limits_fit_the_host():
    """Pillow, and so ComfyUI's Load Image, opens no image with more text than this."""
    from PIL import PngImagePlugin

    assert text_bytes(PNG_PROMPT_BYTES) + 1_000 < PngImagePlugin.MAX_TEXT_MEMORY


def test_a_prompt_too_large_for_an_image_is_not_written(tmp_path, monkeypatch):
    """And says which form takes it."""
    monkeypatch.setattr(png_prompts, "PNG_PROMPT_BYTES", 300)
    with pytest.raises(ImagePromptError, match="at most 300 inside a PNG: choose safetensors"):
        save_prompt(prompt_of(), tmp_path / "large.png", shown=SHOWN)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    """One sentence, and neither half of a file nor a partial one."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ImagePromptError, match="No space left.*save the image prompt somewhere else"):
        save_prompt(prompt_of(), tmp_path / "one.png", shown=SHOWN)
    assert not list(tmp_path.iterdir())


def test_what_is_listed(file, tmp_path):
    """PNGs with a prompt, and no others; a file that becomes one is seen."""
    Image.new("RGB", (2, 2)).save(tmp_path / "plain.png")
    (tmp_path / "words.png").write_text("no image")
    assert [holds_prompt(tmp_path / name) for name in ("style.png", "plain.png", "words.png", "nowhere.png")] == [
        True, False, False, False]  # fmt: skip
    (tmp_path / "plain.png").write_bytes(file.read_bytes())
    assert holds_prompt(tmp_path / "plain.png")


def test_what_a_png_shows():
    """One image as it is; several in a square, the larger ones smaller; the same image once; none is an error that helps."""
    assert contact_sheet([SHOWN]).equal(SHOWN)
    sheet = contact_sheet([SHOWN, SHOWN.flip(0), SHOWN[:, :10]])
    assert sheet.shape == (24, 40, 3) and sheet[:12, :20].equal(SHOWN) and sheet[:12, 20:].equal(SHOWN.flip(0))
    assert sheet[12:, 20:].eq(255).all()
    assert max(contact_sheet([torch.zeros(3_000, 4_100, 3, dtype=torch.uint8)] * 2).shape) == PNG_SIDE
    assert seen_images(prompt_of())[0] is SHOWN and len(seen_images(prompt_of())) == 1
    with pytest.raises(ImagePromptError, match="connect the reference to image of Save Image Prompt"):
        seen_images(prompt_of(seen=None))
