"""One import name for this package, whatever ComfyUI calls the folder that it lies in.

ComfyUI names a pack's modules by their path, so what is pickled in one process would not be found in another, other packs
could not import anything, and errors would carry a folder in their names. Once the pack is loaded, its modules stand in
`sys.modules` under `ipadapter_core` too, and their classes and functions say that they are from there.
"""

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType

NAME = "ipadapter_core"
PACKAGE = __name__.rpartition(".")[0]  # what this process calls the package


def publish() -> None:
    """Makes the package importable under its own name; where another copy of it has done so already, that one stays."""
    if PACKAGE == NAME or sys.modules.get(NAME) not in (None, sys.modules[PACKAGE]):
        return
    for name, module in list(sys.modules.items()):
        if name == PACKAGE or name.startswith(f"{PACKAGE}."):
            _adopt(name, module)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _adopt(name: str, module: ModuleType) -> None:
    own = NAME + name.removeprefix(PACKAGE)
    sys.modules[own] = module
    for value in vars(module).values():
        if isinstance(value, type | FunctionType) and value.__module__ == name:
            value.__module__ = own


class _Finder(MetaPathFinder, Loader):
    """Finds modules of the package that are imported later, by either name."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """A spec for names below our own."""
        return ModuleSpec(fullname, self) if fullname.startswith(f"{NAME}.") else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module as this process calls it."""
        name = PACKAGE + spec.name.removeprefix(NAME)
        module = importlib.import_module(name)
        _adopt(name, module)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has run already; it keeps the spec that it was loaded by."""
        spec = module.__spec__
        module.__spec__ = spec.loader_state if spec is not None else None
