"""`python3 dev.py figures`: the demo world's attention maps and comparison of weights, for docs/images and workflows/."""

import argparse
import io
import json
import os
import sys
from pathlib import Path

from PIL import Image

from ..comfyui.api_prompt import graph_file, node, set_inputs
from ..comfyui.client import ComfyClient, Prompt
from ..comfyui.server import ROOT, ComfyServer
from ..demo.picture_grid import pixels

IMAGES, WORKFLOWS = ROOT / "docs" / "images", ROOT / "workflows"
ENLARGED = 4  # of the attention maps, whose pixels are few
COMPARED, MAPS = "seeing_weights_compared", "seeing_attention_maps"


def main(argv: list[str]) -> int:
    """Runs both workflows in a real server, writes the images and prints the scores."""
    parser = argparse.ArgumentParser(prog="dev.py figures", description=main.__doc__)
    parser.add_argument("--steps", type=int, help="sampling steps (default: the workflows' own)")
    parser.add_argument("--pictures", type=int, help="images for each variant (default: the workflow's own)")
    arguments = parser.parse_args(argv)
    with ComfyServer(Path(sys.executable), Path(os.environ["COMFYUI_PATH"])) as server:
        client = ComfyClient(server.url)
        maps, compared = (_graph(client, name, arguments) for name in (MAPS, COMPARED))
        _attention(client, maps)
        _comparison(client, compared)
    return 0


def _graph(client: ComfyClient, name: str, arguments: argparse.Namespace) -> Prompt:
    graph = graph_file(name, client.object_info())
    if arguments.steps:
        set_inputs(graph, "KSampler", steps=arguments.steps)
    if arguments.pictures and name == COMPARED:
        set_inputs(graph, "EmptyChromaRadianceLatentImage", batch_size=arguments.pictures)
    return graph


def _attention(client: ComfyClient, graph: Prompt) -> None:
    """The image and a heat map for each reference, side by side."""
    outputs = client.run(graph)
    saved = client.picture(outputs[node(graph, "IPAdapterCoreSaveTrace")]["images"][0])
    entries = outputs[node(graph, "SaveImage", "Overlays")]["images"]
    tiles = [Image.fromarray(pixels(data)) for data in (saved, *(client.picture(entry) for entry in entries))]
    side = tiles[0].width * ENLARGED
    sheet = Image.new("RGB", (len(tiles) * (side + 8) - 8, side), "white")
    for number, tile in enumerate(tiles):
        sheet.paste(tile.resize((side, side), Image.Resampling.BICUBIC), (number * (side + 8), 0))
    _write(sheet, "attention_maps", MAPS)
    trace = json.loads(Image.open(io.BytesIO(saved)).text["ipadapter_core"])  # type: ignore[attr-defined]
    for one in trace["applications"]:
        print(f"{one['adapter']}: {one['layer_count']} layers, steps {one['steps_active']}")


def _comparison(client: ComfyClient, graph: Prompt) -> None:
    """The grid of images, and the curves of the scores."""
    outputs = client.run(graph)
    for title, name in (("Grid", "weights_compared"), ("Plot", "scores_over_weight")):
        data = client.picture(outputs[node(graph, "SaveImage", title)]["images"][0])
        _write(Image.fromarray(pixels(data)), name, COMPARED if title == "Grid" else None)
    print("\n".join(outputs[node(graph, "IPAdapterCoreScore")]["text"]))


def _write(picture: Image.Image, name: str, workflow: str | None) -> None:
    picture.save(IMAGES / f"{name}.png", optimize=True)
    if workflow:
        thumbnail = picture.copy()
        thumbnail.thumbnail((640, 640), Image.Resampling.LANCZOS)
        thumbnail.save(WORKFLOWS / f"{workflow}.jpg", quality=88)
