"""One import name for this package, whatever ComfyUI calls the folder that it lies in.

ComfyUI names a pack's modules by their path, so what is pickled in one process would not be found in another, other packs
could not import anything, and errors would carry a folder in their names. Once the pack is loaded, its modules stand in
`sys.modules` under `ipadapter_core` too, and their classes and functions say that they are from there.
"""

import sys
from types import FunctionType, ModuleType

NAME = "ipadapter_core"
PACKAGE = __name__.rpartition(".")[0]  # what this process calls the package


def publish() -> None:
    """Makes the package importable under its own name, once its nodes are loaded; another copy that has done so stays."""
    if PACKAGE == NAME or sys.modules.get(NAME) not in (None, sys.modules[PACKAGE]):
        return
    for name, module in list(sys.modules.items()):
        if name == PACKAGE or name.startswith(f"{PACKAGE}."):
            _adopt(name, module)


def _adopt(name: str, module: ModuleType) -> None:
    own = NAME + name.removeprefix(PACKAGE)
    sys.modules[own] = module
    for value in vars(module).values():
        if isinstance(value, type | FunctionType) and value.__module__ == name:
            value.__module__ = own
