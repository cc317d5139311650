"""`python3 dev.py workflows`: writes `workflows/*.json` from `tools/workflows/`, with the slots of a live server.

The blueprints of `subgraphs/` and the workflows of `docs/examples/` too.
"""

import json
import os
import sys
from pathlib import Path

from ..comfyui.client import ComfyClient
from ..comfyui.server import ROOT, ComfyServer
from ..workflows import api_examples as example_graphs
from .blueprints import BLUEPRINTS
from .catalogue import GRAPHS
from .subgraph import blueprint_file


def main(_: list[str]) -> int:
    """Starts a server for its node definitions and writes every workflow."""
    with ComfyServer(Path(sys.executable), Path(os.environ["COMFYUI_PATH"])) as server:
        info = ComfyClient(server.url).object_info()
    for name, build in GRAPHS.items():
        text = json.dumps(build().workflow(info), indent=1)
        (ROOT / "workflows" / f"{name}.json").write_text(text + "\n")
        print(name)
    for build in BLUEPRINTS:
        blueprint = build()
        text = json.dumps(blueprint_file(blueprint, info), indent=1)
        (ROOT / "subgraphs" / f"{blueprint.name}.json").write_text(text + "\n")
        print(blueprint.name)
    for file, text in example_graphs.files().items():
        file.write_text(text)
        print(file.stem)
    return 0
