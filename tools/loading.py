"""Makes the pack and ComfyUI importable side by side, as ComfyUI itself would load them.

The pack's root must not stand on `sys.path` before ComfyUI: its `nodes/` would hide ComfyUI's `nodes.py`. So it is loaded by
path, as ComfyUI does, under the name `pack`; a script that appends it behind ComfyUI (docs/python.md) does as well.
"""

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


def load_pack(name: str = "pack") -> ModuleType:
    """The root package under an alias; `pack.ipadapter_core`, `pack.demo` and the rest import below it."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def use_comfyui() -> None:
    """Puts the ComfyUI that `dev.py` chose on `sys.path` and, without a GPU, tells it to use the CPU."""
    sys.path.insert(0, os.environ["COMFYUI_PATH"])
    import torch

    from comfy.cli_args import args

    args.cpu = not torch.cuda.is_available()
