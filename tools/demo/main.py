"""`python3 dev.py demo`: a reference and a prompt become images in a real ComfyUI server, and the effect is measured."""

import argparse
import json
import os
import sys
from pathlib import Path

from ...demo.shapes import SHAPE_NAMES
from ..comfyui.api_prompt import graph_file, node, set_inputs, without_adapter
from ..comfyui.client import ComfyClient, Prompt
from ..comfyui.server import ROOT, ComfyServer, Mounts
from .picture_grid import Pictures, fetch, grid, measured, reference_tensor

SEEDS = 64
MEASURED_STEPS = 6  # fewer than the workflow's own: what is measured hardly changes, and the demo stays quick
GRID_WEIGHTS = (0.5, 1.0)


def main(argv: list[str]) -> int:
    """Parses the arguments, starts a server, makes the images and writes `summary.json`."""
    arguments = _parse(argv)
    out = arguments.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    real = arguments.checkpoint is not None
    print(f"starting ComfyUI ({'your files' if real else 'the demo world'}) ...", file=sys.stderr, flush=True)
    with ComfyServer(
        Path(sys.executable), Path(os.environ["COMFYUI_PATH"]), mounts=Mounts(model_folders=_folders(arguments))
    ) as server:
        client = ComfyClient(server.url)
        version = client.get("/system_stats")["system"]["comfyui_version"]
        summary = {"comfyui": version} | (_with_files if real else _demo_world)(client, arguments, out)
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps({key: value for key, value in summary.items() if key != "pictures"}, indent=2))
    print(f"images and summary.json are in {out}", file=sys.stderr)
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev.py demo", description=main.__doc__)
    parser.add_argument("--reference", type=Path, help="an image from disk; without it, one of the demo world")
    parser.add_argument("--prompt", help="the text (default: 'a star')")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "output" / "demo")
    parser.add_argument("--checkpoint", type=Path, help="your own base model instead of the demo's; needs --adapter")
    parser.add_argument("--adapter", type=Path, help="your own IP-Adapter")
    parser.add_argument(
        "--encoder", type=Path, help="the image encoder for it (default: the one the demo workflow names)"
    )
    parser.add_argument("--steps", type=int, help="sampling steps, with --checkpoint")
    parser.add_argument("--size", type=int, help="width and height in pixels, with --checkpoint")
    arguments = parser.parse_args(argv)
    if (arguments.checkpoint is None) != (arguments.adapter is None):
        parser.error("--checkpoint and --adapter go together")
    for name in ("reference", "checkpoint", "adapter", "encoder"):
        file = getattr(arguments, name)
        if file is not None and not file.is_file():
            parser.error(f"--{name}: there is no file {file}")
    return arguments


def _folders(arguments: argparse.Namespace) -> dict[str, Path]:
    given = {"checkpoints": arguments.checkpoint, "ipadapter": arguments.adapter, "clip_vision": arguments.encoder}
    return {kind: file.resolve().parent for kind, file in given.items() if file is not None}


def _demo_world(client: ComfyClient, arguments: argparse.Namespace, out: Path) -> dict:
    graph = graph_file("demo_reference_and_controlnet", client.object_info())
    if arguments.prompt:
        set_inputs(graph, "CLIPTextEncode", "Prompt", text=arguments.prompt)
    if arguments.reference:
        _use_reference(client, graph, arguments.reference)
    pictures = _grid_pictures(client, graph, arguments.seed)
    saved = _save(pictures, out)
    prompts, collected = _measuring_graphs(graph, arguments), []
    for index, (prompt, shape) in enumerate(prompts):
        collected.append((fetch(client, client.run(prompt)), shape))
        _bar(index + 1, len(prompts))
    return measured(collected) | {"weight_zero_identical": pictures.weight_zero_identical, "pictures": saved}


def _with_files(client: ComfyClient, arguments: argparse.Namespace, out: Path) -> dict:
    from ...ipadapter_core.adapter.load import load_adapter
    from ...ipadapter_core.checkpoint.spec import BaseModel

    base = load_adapter(str(arguments.adapter)).spec.base
    graph = graph_file("sdxl_plus" if base is BaseModel.SDXL else "sd15_basic", client.object_info())
    set_inputs(graph, "CheckpointLoaderSimple", ckpt_name=arguments.checkpoint.name)
    set_inputs(graph, "IPAdapterCoreLoad", ip_adapter_name=arguments.adapter.name)
    if arguments.encoder:
        set_inputs(graph, "CLIPVisionLoader", clip_name=arguments.encoder.name)
    if arguments.prompt:
        set_inputs(graph, "CLIPTextEncode", "Prompt", text=arguments.prompt)
    if arguments.steps:
        set_inputs(graph, "KSampler", steps=arguments.steps)
    if arguments.size:
        set_inputs(graph, "EmptyLatentImage", width=arguments.size, height=arguments.size)
    _use_reference(client, graph, arguments.reference or ROOT / "workflows" / "demo_text_and_reference.jpg")
    pictures = _grid_pictures(client, graph, arguments.seed)
    return {"weight_zero_identical": pictures.weight_zero_identical, "pictures": _save(pictures, out)}


def _use_reference(client: ComfyClient, graph: Prompt, file: Path) -> None:
    name = client.upload(file)
    place = node(graph, ("DemoWorldPicture", "LoadImage"), "Reference")
    graph[place] = {"class_type": "LoadImage", "inputs": {"image": name}, "_meta": {"title": "Reference"}}
    size = reference_tensor(file).shape
    print(f"reference: {file.name}, {size[2]} x {size[1]} pixels; the square in its centre is what the encoder sees",
          file=sys.stderr)  # fmt: skip


def _grid_pictures(client: ComfyClient, graph: Prompt, seed: int) -> Pictures:
    """One seed: the reference as the encoder saw it, without adapter, weights 0, 0.5, 1, and with the ControlNet if any."""
    graph = json.loads(json.dumps(graph))
    set_inputs(graph, "KSampler", seed=seed)
    found = {}
    variants = {f"weight {weight}": weight for weight in (0.0, *GRID_WEIGHTS)}
    plain = _uncontrolled(graph)
    outputs = client.run(without_adapter(plain))
    found["without"] = client.picture(outputs[node(plain, "SaveImage")]["images"][0])
    for label, weight in variants.items():
        set_inputs(plain, "IPAdapterCoreApply", weight=weight)
        outputs = client.run(plain)
        found[label] = client.picture(outputs[node(plain, "SaveImage")]["images"][0])
        seen = outputs.get(node(plain, "IPAdapterCoreEncode"), {}).get("images")
        if seen:
            found["reference"] = client.picture(seen[0])
    if node(graph, "ControlNetApplyAdvanced", needed=False):
        outputs = client.run(graph)
        found["with ControlNet"] = client.picture(outputs[node(graph, "SaveImage")]["images"][0])
    return Pictures(found)


def _uncontrolled(graph: Prompt) -> Prompt:
    """The workflow with its sampler on the bare texts."""
    graph = json.loads(json.dumps(graph))
    if node(graph, "ControlNetApplyAdvanced", needed=False):
        control = graph[node(graph, "ControlNetApplyAdvanced")]["inputs"]
        set_inputs(graph, "KSampler", positive=control["positive"], negative=control["negative"])
    return graph


def _measuring_graphs(graph: Prompt, arguments: argparse.Namespace) -> list[tuple[Prompt, str]]:
    """A workflow for each seed: without adapter, with it, and with the ControlNet too; another shape and reference each."""
    prompts = []
    for seed in range(SEEDS):
        prompt = json.loads(json.dumps(graph))
        shape = SHAPE_NAMES[seed % len(SHAPE_NAMES)]
        set_inputs(prompt, "CLIPTextEncode", "Prompt", text=f"a {shape}")
        set_inputs(prompt, "DemoWorldPicture", "Outline", shape=shape, seed=1000 + seed)
        if not arguments.reference:
            anything = dict.fromkeys(
                ("object_colour", "background_colour", "object_texture", "background_texture"), "any"
            )
            set_inputs(prompt, "DemoWorldPicture", "Reference", shape="any", seed=seed, **anything)
        set_inputs(prompt, "KSampler", steps=MEASURED_STEPS)
        prompts.append((_three_ways(prompt, arguments.seed + seed), shape))
    return prompts


def _three_ways(prompt: Prompt, seed: int) -> Prompt:
    """One workflow with three samplers; previews titled "without", "with", "controlled", and "outline"."""
    sampler = node(prompt, "KSampler")
    decode, save = node(prompt, "VAEDecode"), node(prompt, "SaveImage")
    apply = prompt[node(prompt, "IPAdapterCoreApply")]["inputs"]
    texts = prompt[node(prompt, "ControlNetApplyAdvanced")]["inputs"]
    bare = {"positive": texts["positive"], "negative": texts["negative"]}
    ways = {"without": bare | {"model": apply["model"]}, "with": bare, "controlled": {}}
    made = {name: entry for name, entry in prompt.items() if name not in (sampler, decode, save)}
    for way, inputs in ways.items():
        made[f"{way}-sampler"] = prompt[sampler] | {"inputs": prompt[sampler]["inputs"] | inputs | {"seed": seed}}
        decoded = prompt[decode]["inputs"] | {"samples": [f"{way}-sampler", 0]}
        made[f"{way}-decode"] = {"class_type": "VAEDecode", "inputs": decoded}
        made[way] = {"class_type": "PreviewImage", "inputs": {"images": [f"{way}-decode", 0]}}
    outline, reference = (
        node(prompt, "DemoWorldPicture", "Outline"),
        node(prompt, ("DemoWorldPicture", "LoadImage"), "Reference"),
    )
    made["mask-image"] = {"class_type": "MaskToImage", "inputs": {"mask": [outline, 2]}}
    made["outline"] = {"class_type": "PreviewImage", "inputs": {"images": ["mask-image", 0]}}
    made["reference"] = {"class_type": "PreviewImage", "inputs": {"images": [reference, 0]}}
    return made


def _save(pictures: Pictures, out: Path) -> list[str]:
    saved = []
    for label, data in pictures.found.items():
        file = out / f"{label.replace(' ', '_')}.png"
        file.write_bytes(data)
        saved.append(str(file))
    grid(pictures.found).save(out / "grid.png")
    return [*saved, str(out / "grid.png")]


def _bar(done: int, of: int, width: int = 40) -> None:
    filled = width * done // of
    end = "\n" if done == of else ""
    print(f"\r[{'#' * filled}{'.' * (width - filled)}] {done}/{of} seeds", end=end, file=sys.stderr, flush=True)
