"""`dev.py mcp` before a real ComfyUI with the demo world: in memory and over stdio; the transcript of docs/agents.md."""

import asyncio
import base64
import io
import json
import os
import re
import sys
from functools import partial
from pathlib import Path

import mcp
import pytest
from mcp.client.stdio import StdioServerParameters
from pack.demo.pictures import Request, draw
from pack.tools.comfyui.client import ComfyClient
from pack.tools.environment import ROOT
from pack.tools.mcp_server import main, pixels, tools
from pack.tools.mcp_server.refusal import Folders
from pack.tools.mcp_server.shelf import Shelf
from pack.tools.mcp_server.studio import Studio, Wish
from PIL import Image

pytestmark = pytest.mark.agents

PAGE = ROOT / "docs" / "agents.md"
ENCODE, LOAD = "IPAdapterCoreEncode", "IPAdapterCoreLoadPromptPNG"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a reference, and the demo's graph in a few steps."""
    folder = tmp_path_factory.mktemp("agents")
    picture = draw(Request("circle", "yellow", "blue", "plain", "striped"), 11).picture[0]
    Image.fromarray((picture * 255).byte().numpy()).save(folder / "brand.png")
    graph = json.loads(main.DEMO_GRAPH.read_text(encoding="utf-8"))
    for node in graph.values():
        node["inputs"] |= {"steps": 6} if node["class_type"] == "KSampler" else {}
    (folder / "graph.json").write_text(json.dumps(graph))
    return folder


def over_stdio(place, url, work):
    """Starts the server as a host does, and works with it."""
    arguments = ["--server", url, "--allow", place, "--home", place / "home", "--graph", place / "graph.json"]
    command = [ROOT / "tools" / "run.py", "tools.mcp_server.main", *arguments]
    server = StdioServerParameters(command=sys.executable, args=[str(part) for part in command], env=dict(os.environ))

    async def run():
        async with mcp.Client(server) as client:
            return await work(client)

    return asyncio.run(run())


async def first_visit(ask, place):
    """Each of the tools once but list_characters."""
    brand = str(place / "brand.png")
    await ask("what_is_installed")
    await ask("save_character", name="blue-sun", references=[brand], purpose="style")
    made = await ask("generate", prompt="a star", character="blue-sun", seed=3)
    swept = await ask("sweep", prompt="a star", character="blue-sun", weights=[0, 1], purpose="style")
    await ask("job", job=swept.structured_content["job"])
    await ask("score", image=brand, character="blue-sun", prompt="a circle")
    return made, swept, made.structured_content["images"][0]


def classes_of_last_run(client):
    """The classes of the nodes in the graph that ComfyUI ran last."""
    *_, entry = client.get("/history").values()
    return {node["class_type"] for node in entry["prompt"][2].values()}


async def second_visit(session, client, brand):
    """After a restart: the character is there, and makes an image again, as its reference does."""
    listed = await session.call_tool("list_characters", {})
    assert [one["name"] for one in listed.structured_content["characters"]] == ["blue-sun"]
    images, classes = [], []
    for wish in ({"character": "blue-sun"}, {"reference": brand}):
        answer = await session.call_tool("generate", {"prompt": "a star", "seed": 3} | wish)
        images.append(answer.structured_content["images"][0])
        classes.append(classes_of_last_run(client))
    assert [ENCODE in one for one in classes] == [False, True] and [LOAD in one for one in classes] == [True, False]
    return images


def test_agents_over_stdio(client, place):
    """The whole road, told in the page's transcript; the same character and seed are the same bytes after a restart, made
    from the image prompt that was kept, and those of the reference itself."""
    heard, told = [], []

    async def progress(done, total, _message):
        heard.append((done, total))

    async def ask(session, tool, **arguments):
        answer = await session.call_tool(tool, arguments, progress_callback=progress)
        assert not answer.is_error, answer.content[0].text
        told.append((tool, arguments, answer.structured_content))
        return answer

    made, swept, image = over_stdio(place, client.url, lambda session: first_visit(partial(ask, session), place))
    kinds = [part.type for part in made.content]
    assert kinds == ["text", "image", "resource_link"]
    small = base64.b64decode(made.content[1].data)
    assert len(small) <= pixels.PREVIEW_BYTES and Image.open(io.BytesIO(small)).format == "JPEG"
    assert heard and heard[-1][0] <= heard[-1][1]
    off, on = swept.structured_content["images"]
    assert on["scores"]["palette"] < off["scores"]["palette"] - 5 and Path(swept.structured_content["sheet"]).is_file()
    assert told[-1][2]["similarity"] > 0.999  # the reference beside itself

    brand = str(place / "brand.png")
    for repeated in over_stdio(place, client.url, lambda session: second_visit(session, client, brand)):
        assert repeated["image"] != image["image"]
        assert Path(repeated["image"]).read_bytes() == Path(image["image"]).read_bytes()
    text = transcript(told, place)
    print(text)
    page = PAGE.read_text(encoding="utf-8")
    assert masked(text) in masked(page), "docs/agents.md: replace its transcript by the one printed above"


def transcript(told, place):
    """The calls and answers as the page shows them: long lists cut, paths short, numbers rounded."""
    lines = []
    for tool, arguments, answer in told:
        lines += [f"> {tool} {json.dumps(arguments)}", json.dumps(shortened(answer))]
    return "\n".join(lines).replace(str(place), "~/brand")


def shortened(value):
    """Numbers to three places, three entries of a list."""
    if isinstance(value, dict):
        return {key: shortened(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shortened(one) for one in value[:3]]
    return round(value, 3) if isinstance(value, float) else value


def masked(text):
    """What differs from machine to machine left out: ids, figures, and the files that lie in its folders."""
    text = re.sub(r'("(?:adapters|encoders|checkpoints|comfyui|device)": )(\[[^\]]*\]|"[^"]*")', r"\1", text)
    return re.sub(r"\b[0-9a-f]{12,32}\b|-?\d+(\.\d+)?(e-?\d+)?", "#", text)


def test_agents_can_leave_and_cancel(client, place):
    """A wait ends with a job id, and a job is cancelled while it is in the queue."""
    graph = json.loads((place / "graph.json").read_text())
    studio = Studio(ComfyClient(client.url), graph, Shelf(place / "other"), Folders((place.resolve(),)))

    async def road():
        wish = Wish("a star", reference=str(place / "brand.png"))
        started = await studio.start(wish, [0.5, 1.0], [5, 6, 7], sweep=True)
        async with mcp.Client(tools.server_of(studio)) as session:
            running = (await session.call_tool("job", {"job": started.name})).structured_content
            cancelled = (await session.call_tool("job", {"job": started.name, "action": "cancel"})).structured_content
            return running, cancelled

    running, cancelled = asyncio.run(road())
    assert running["state"] == "running" and running["job"] in running["next"]
    assert cancelled["state"] == "cancelled" and len(cancelled["images"]) < 6
