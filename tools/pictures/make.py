"""The images of the documentation, made anew: strips of the demo world, nodes and screenshots of the real frontend."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from ..comfyui.browser import Frontend
from ..comfyui.client import ComfyClient
from ..comfyui.server import ComfyServer
from ..environment import ROOT
from ..node_texts import native_nodes
from ..workflows.apps import APPS, REFERENCE
from ..workflows.by_task import shown_by
from ..workflows.catalogue import GRAPHS
from ..workflows.stage import DEMO
from .scene import Scene, strip
from .task_recipes import GRAPHS as OF_GRAPHS
from .task_recipes import NODES, TASKS, Recipe, of_graph, thumbnail

NODE_PICTURES = ROOT / "web" / "docs" / "images"
TASK_PICTURES = ROOT / "docs" / "images"
FACES = "IPAdapterCoreEncodeFace"
SHOWN = "demo_reference_and_controlnet"  # the workflow of the screenshots


def make(names: list[str]) -> None:
    """Makes the images whose names (of a node, task, workflow, or "screenshots") are given, or all."""
    with ComfyServer(Path(sys.executable), Path(os.environ["COMFYUI_PATH"])) as server:
        client = ComfyClient(server.url)
        for file, recipe in _recipes():
            if not names or file.stem in names:
                scene = Scene()
                recipe(scene)
                _save(scene.strip(client), file)
        cards = [name for name in _without_recipe() if not names or name in names]
        apps = [name for name in APPS if not names or name in names]
        if cards or apps or "screenshots" in names:
            _upload_a_prompt(client)
            _upload_a_reference(client)
            with Frontend(server.url) as frontend:
                for name in cards:
                    frontend.card(name, NODE_PICTURES / f"{name}.jpg")
                for name in apps:
                    _photograph_an_app(frontend, client, name)
                if not names or "screenshots" in names:
                    screenshots(frontend, client)
    if not names or FACES in names or "faces" in names:
        picture = faces()
        _save(picture, NODE_PICTURES / f"{FACES}.jpg")
        _save(picture, TASK_PICTURES / "faces.jpg")


def _photograph_an_app(frontend: Frontend, client: ComfyClient, name: str) -> None:
    """The form of a workflow that opens as an app, after a run in the demo world."""
    frontend.open(APPS[name](DEMO).workflow(client.object_info()), name.removeprefix("app_").replace("_", " "))
    frontend.app()
    frontend.run_app(1)
    frontend.page.wait_for_timeout(6000)  # by then the frontend has nothing more to say
    frontend.photograph(ROOT / "workflows" / f"{name}.jpg")


def _upload_a_reference(client: ComfyClient) -> None:
    """Puts a drawing where new users have ComfyUI's own example."""
    scene = Scene()
    saved = scene.graph.add("SaveImage", images=scene.reference(), filename_prefix="reference")
    shown = client.run(scene.graph.prompt())[str(saved.number)]["images"][0]
    _upload(client, REFERENCE, client.picture(shown))


def _upload(client: ComfyClient, name: str, image: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(image)
        client.upload(file)


def _upload_a_prompt(client: ComfyClient) -> None:
    """Puts a PNG with an image prompt into the input folder, which *Load Image Prompt from PNG* then shows."""
    scene = Scene()
    reference = scene.reference()
    saved = scene.graph.add("IPAdapterCoreSave", image_prompt=scene.encode(reference)[0], filename_prefix="blue_stripes",
                            form="PNG", image=reference)  # fmt: skip
    shown = client.run(scene.graph.prompt())[str(saved.number)]["images"][0]
    _upload(client, "blue_stripes.png", client.picture(shown))


def screenshots(frontend: Frontend, client: ComfyClient, folder: Path = TASK_PICTURES) -> str:
    """The demo's workflow after a run, and with a help panel open; returns the panel's text."""
    frontend.open(GRAPHS[SHOWN]().workflow(client.object_info()))
    frontend.queue()
    frontend.photograph(folder / "graph.jpg")
    text = frontend.help("IPAdapterCoreApply")
    frontend.photograph(folder / "help.jpg")
    return text


def faces() -> Image.Image:
    """*Encode Face* on a photograph, with face models in miniature that know this one face.

    The photograph is Eileen Collins, NASA, public domain, as scikit-image carries it.
    """
    import torch
    from skimage import data

    from ..miniature.executing import Step
    from ..miniature.face_analysis import face_models
    from ..miniature.files import workshop

    with tempfile.TemporaryDirectory() as folder, workshop(Path(folder)) as shop:
        photograph = torch.from_numpy(data.astronaut()).float() / 255
        face_models(shop.models / "insightface" / "models" / "buffalo_l", photograph)
        analysis = Step("IPAdapterCoreLoadFaceAnalysis", {"model_name": "buffalo_l"})
        adapter = shop.face_adapter("faceid.safetensors", "FaceID")
        shown = Step("Load Image", make=lambda: photograph.unsqueeze(0))
        _, boxes, crops = Step(FACES, {"ip_adapter": adapter, "image": shown, "insightface": analysis}).outputs()
    around = (slice(40, 260), slice(110, 330))  # the face and some room
    found = [("the image", photograph), ("boxes, a part", boxes[0][around]), ("faces", crops[0])]
    return strip([(label, Image.fromarray((one * 255).byte().numpy())) for label, one in found])


def _recipes() -> Iterator[tuple[Path, Recipe]]:
    for name, recipe in NODES.items():
        yield NODE_PICTURES / f"{name}.jpg", recipe
    for name, recipe in TASKS.items():
        yield TASK_PICTURES / f"{name}.jpg", recipe
    for name in (
        name for name in GRAPHS if not name.startswith(("seeing", "app_"))
    ):  # by `dev.py figures`; screenshots
        shown = shown_by(name)
        yield ROOT / "workflows" / f"{name}.jpg", OF_GRAPHS.get(name) or (of_graph(shown) if shown else thumbnail(name))


def _without_recipe() -> list[str]:
    """Nodes that need published weights, or have no recipe yet: they are shown as they stand in the window."""
    return [node.identity for node in native_nodes() if node.identity not in NODES and node.identity != FACES]


def _save(picture: Image.Image, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.save(file, quality=90)
    print(f"made {file.relative_to(ROOT)}", file=sys.stderr, flush=True)
