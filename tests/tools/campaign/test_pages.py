"""The contact sheet, and the page: one file that sorts and filters in a browser, from a disk, and asks nobody."""

import io
import re

import pytest
from pack.tools.campaign.page import page_of
from pack.tools.campaign.sheet import CAPTION, CELL, COLUMNS, GAP, contact_sheet
from pack.tools.comfyui.browser import OPTIONS, chromium
from PIL import Image

pytestmark = [pytest.mark.campaign, pytest.mark.tool]

COLOURS = ("red", "lime", "blue")
NASTY = "</script><img src=x onerror=document.title='hurt'> \u2028 é"


def png(colour, side=64):
    """A file of one colour."""
    Image.new("RGB", (side, side), colour).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def entry(colour, weight, score, prompt="a star", reference="a.png"):
    """A line of the manifest; its file's name is its colour."""
    return {
        "state": "done", "file": colour, "reference": reference, "prompt": prompt, "weight": weight, "seed": 1,
        "purpose": "style", "scores": {"similarity": score, "prompt": None}, "seconds": 1.0, "worker": "host/1", "problem": "",
    }  # fmt: skip


LOADED = """image => new Promise((done, late) => {
    const look = (left) => image.naturalWidth ? done(true) : left ? setTimeout(look, 20, left - 1) : late("not shown");
    look(500);
})"""
ENTRIES = [entry("red", 0.5, 0.2), entry("lime", 1.0, 0.9, NASTY, "b.png"), entry("blue", 0.8, 0.4, reference="b.png")]
REFUSED = {"state": "refused", "reference": "c.png", "problem": "'c.png' is no image"}


def test_campaign_sheet_has_a_band_for_each_reference():
    """The reference first; long bands go on below; hundreds of images fit."""
    bands = [(png("white"), ENTRIES[:1]), (png("black"), ENTRIES[1:])]
    sheet = Image.open(io.BytesIO(contact_sheet(bands, png)))
    assert sheet.size == (3 * (CELL + GAP) + GAP, 2 * (CELL + CAPTION) + GAP)
    middle = [(GAP + CELL // 2 + column * (CELL + GAP), GAP + CELL // 2) for column in range(3)]
    below = [(x, y + CELL + CAPTION) for x, y in middle]
    for place, colour in zip([*middle[:2], *below], ["white", "red", "black", "lime", "blue"], strict=True):
        wanted = Image.new("RGB", (1, 1), colour).getpixel((0, 0))
        assert all(abs(a - b) < 16 for a, b in zip(sheet.getpixel(place), wanted, strict=True)), colour
    many = Image.open(io.BytesIO(contact_sheet([(png("white"), ENTRIES * 20)], png)))
    assert many.size == ((COLUMNS + 1) * (CELL + GAP) + GAP, 5 * (CELL + CAPTION) + GAP)
    huge = Image.open(io.BytesIO(contact_sheet([(png("white"), ENTRIES * 1500)], lambda name: png(name, 8))))
    assert huge.width * huge.height < 80_000_000


def test_campaign_page_holds_everything():
    """No address, no other file, no word of a prompt as HTML."""
    page = page_of("brand", [*ENTRIES, REFUSED], png).decode()
    assert not re.findall(r"""(?:src|href)=["']|https?:|@import|url\(|fetch\(""", page)
    assert "<img src=x" not in page and page.count("</script>") == 2 and page.count("data:image/jpeg;base64,") == 3


@pytest.mark.browser
def test_campaign_page_sorts_and_filters(tmp_path):
    """In a Chromium, opened as a file. Each step fails when its line of the page is taken out."""
    from playwright.sync_api import sync_playwright

    (tmp_path / "index.html").write_bytes(page_of("brand", [*ENTRIES, REFUSED], png))
    said = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=OPTIONS)
        page = browser.new_page()
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda one: said.append(one.url) if one.url.startswith("http") else None)
        page.goto((tmp_path / "index.html").as_uri())

        def shown():
            texts = page.locator("figure").all_inner_texts()
            return [weight[1] if (weight := re.search(r"weight ([\d.]+)", text)) else "-" for text in texts]

        assert page.title() == "brand" and shown() == ["1", "0.8", "0.5", "-"]
        page.select_option("#order", "1")
        assert shown() == ["0.5", "0.8", "1", "-"]
        page.select_option("#sort", "weight")
        page.fill("#low", "0.3")
        assert shown() == ["0.8", "1"] and page.locator("#count").inner_text() == "2 of 4 images"
        page.fill("#high", "0.5")
        assert shown() == ["0.8"]
        page.fill("#low", "")
        page.fill("#high", "")
        page.select_option("#reference", "b.png")
        assert shown() == ["0.8", "1"]
        page.fill("#prompt", "onerror")
        assert shown() == ["1"] and NASTY[:40] in page.locator("figure").inner_text()
        page.locator("figure img").click()
        assert page.locator("dialog img").evaluate(LOADED)  # the file is not there: the page's own is shown
        browser.close()
    assert not said
