"""`dev.py mcp` without ComfyUI: what an agent may not do is refused in one sentence, before any request is sent."""

import asyncio
import io
import os
import sys

import mcp
import pytest
from pack.tests.oracles.agent_calls import call, give_images, studio
from pack.tests.oracles.comfyui_stand_in import StandIn
from pack.tools.mcp_server import main, pixels
from pack.tools.mcp_server.refusal import Refused, server_address, short
from pack.tools.mcp_server.tools import server_of
from PIL import Image

pytestmark = [pytest.mark.agents, pytest.mark.tool]

TOOLS = ["what_is_installed", "save_character", "list_characters", "score", "generate", "sweep", "job"]


@pytest.fixture
def requests(tmp_path):
    """Every request that a stand-in of ComfyUI got; it answers 500 to all."""
    comfyui = StandIn(tmp_path)
    comfyui.broken = True
    yield comfyui
    comfyui.close()


@pytest.fixture
def world(tmp_path, requests):
    """A studio that may read `given/`; a good reference lies there, and others outside."""
    give_images(tmp_path)
    return studio(tmp_path, requests.url)


def test_agents_see_seven_tools_in_few_bytes(world):
    """Each with a schema of its answer; the list costs an agent less than 12 kB of its context."""

    async def listed():
        async with mcp.Client(server_of(world)) as client:
            return await client.list_tools()

    answer = asyncio.run(listed())
    assert [tool.name for tool in answer.tools] == TOOLS
    assert all(tool.output_schema and tool.description for tool in answer.tools)
    size = len(answer.model_dump_json(by_alias=True, exclude_none=True).encode())
    print(size, "bytes of tools")
    assert size < 12_000


REFUSED_FILES = {
    "given/link.png": "leads outside",
    "outside.png": "leads outside",
    "given/../outside.png": "leads outside",
    "given/words.png": "is no PNG, JPEG or WebP",
    "given/huge.png": "400000000 pixels",
    "given/wide.png": "8000 x 8000 pixels",
    "given/long.png": "bytes, at most",
    "given/pipe.png": "there is no file",
    "given/nowhere.png": "there is no file",
    "given/a\0b.png": "no path|no file",
    "/etc/passwd": "leads outside",
}


@pytest.mark.parametrize("tool", ["generate", "save_character", "score", "sweep"])
@pytest.mark.parametrize(("file", "said"), REFUSED_FILES.items(), ids=[repr(name) for name in REFUSED_FILES])
def test_agents_cannot_read_what_was_not_allowed(world, requests, tmp_path, tool, file, said):
    """One sentence, nothing sent, nothing written. Fails when a path is compared before its links are followed."""
    path = file if file.startswith("/") else str(tmp_path / file)
    arguments = {
        "generate": {"prompt": "a star", "reference": path},
        "save_character": {"name": "hero", "references": [str(tmp_path / "given/red.png"), path]},
        "score": {"image": path, "reference": str(tmp_path / "given/red.png")},
        "sweep": {"prompt": "a star", "reference": path, "weights": [0.5]},
    }[tool]
    answer = call(world, tool, **arguments)
    text = answer.content[0].text
    assert answer.is_error and any(word in text for word in said.split("|")), text
    assert requests.paths == [] and not (tmp_path / "home").exists() and "Traceback" not in text


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("generate", {"reference": "https://example.org/a.png"}, "is an address"),
        ("generate", {"reference": "file:///etc/passwd"}, "is an address"),
        ("generate", {"character": "nobody"}, "there is no character nobody"),
        ("generate", {"character": "../home"}, "expected 1 to 40"),
        ("generate", {"character": "Hero"}, "expected 1 to 40"),
        ("generate", {}, "name either a character or a reference"),
        ("generate", {"character": "a", "reference": "b"}, "name either a character or a reference"),
        ("generate", {"character": "a", "weight": 9}, "weight must be a number between 0 and 2, found 9"),
        ("generate", {"character": "a", "weight": "much"}, "weight must be a number between 0 and 2, found 'much'"),
        ("generate", {"character": "a", "weight": True}, "weight must be a number between 0 and 2, found True"),
        ("generate", {"character": "a", "seed": 1.5}, "seed must be a whole number between 0 and 9007199254740991"),
        ("generate", {"character": "a", "size": 100}, "a whole number between 64 and 2048 in steps of 8, found 100"),
        ("generate", {"character": "a", "prompt": "x" * 2001}, "a text of at most 2000 characters, found 2001"),
        ("generate", {"character": ["a"]}, "character must be a text of at most 100 characters, found ['a']"),
        ("generate", {"character": "a", "sed": 1}, "generate has no argument sed; it takes prompt, character"),
        ("generate", {"reference": "RED", "purpose": "mood"}, "expected one of"),
        ("sweep", {"character": "a", "weights": [0.1, 0.2, 0.3, 0.4], "seeds": [1, 2, 3, 4]}, "16 images are asked"),
        (
            "sweep",
            {"character": "a", "weights": [0.1] * 13},
            "a list of 1 to 12, each a number between 0 and 2, found 13",
        ),
        ("sweep", {"character": "a", "weights": [0.1, "b"]}, "weights[1] must be a number between 0 and 2, found 'b'"),
        ("sweep", {"character": "a"}, "sweep needs weights: a list of 1 to 12, each a number between 0 and 2"),
        ("save_character", {"name": "hero", "references": []}, "a list of 1 to 4, each a text"),
        ("save_character", {"name": "x/y", "references": ["RED"]}, "expected 1 to 40"),
        ("save_character", {"name": "a" * 41, "references": ["RED"]}, "expected 1 to 40"),
        ("save_character", {"name": "hero", "references": ["RED"], "purpose": "mood"}, "expected one of"),
        ("job", {"job": "0123456789ab"}, "there is no job"),
        ("job", {"job": "0123456789ab", "action": "stop"}, "action must be one of status, wait, cancel, found 'stop'"),
    ],
)
def test_agents_are_told_what_was_wrong(world, requests, tmp_path, tool, arguments, said):
    """Before anything is sent."""
    red = str(tmp_path / "given/red.png")
    arguments = {
        key: red if value == "RED" else [red] if value == ["RED"] else value for key, value in arguments.items()
    }
    if tool in ("generate", "sweep"):
        arguments = {"prompt": "a star"} | arguments
    answer = call(world, tool, **arguments)
    text = answer.content[0].text
    assert answer.is_error and said in text and "\n" not in text and len(text) < 300, text
    assert requests.paths == []


def test_agents_speak_with_this_machine_alone():
    """Unless told that another is meant."""
    assert server_address("http://127.0.0.1:8188/", False) == "http://127.0.0.1:8188"
    assert server_address("http://render:8188", True) == "http://render:8188"
    for url in ("http://render:8188", "http://127.0.0.1@evil:80", "file:///etc", "http://127.0.0.1.evil.org"):
        with pytest.raises(Refused):
            server_address(url, False)


def test_agents_get_texts_from_outside_short():
    """One line, at most 200 characters."""
    assert short("a\nb") == "a b" and len(short("x" * 10_000)) == 200


def test_agents_get_previews_within_the_budget():
    """Noise of 4 megapixels is the worst; a sheet is a grid of its cells."""
    noise = Image.frombytes("RGB", (2048, 2048), os.urandom(3 * 2048**2))
    noise.save(file := io.BytesIO(), "PNG")
    png = file.getvalue()
    assert len(pixels.preview(png)) <= pixels.PREVIEW_BYTES
    sheet = Image.open(io.BytesIO(pixels.sheet([("weight 1", pixels.preview(png))] * 5)))
    assert sheet.size == (3 * pixels.CELL, 2 * (pixels.CELL + 18))


def test_agents_command_line(capsys, tmp_path, monkeypatch):
    """A missing package, another machine and a missing folder are one sentence each."""
    assert main.main(["--server", "http://render:1"]) == 1 and "another machine" in capsys.readouterr().err
    assert main.main(["--allow", str(tmp_path / "nowhere")]) == 1 and "nowhere" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "mcp", None)
    assert main.main([]) == 1 and "pip install -r tools/mcp_server/requirements.txt" in capsys.readouterr().err
