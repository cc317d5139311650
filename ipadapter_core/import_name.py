"""One import name for this package, whatever folder ComfyUI finds it in.

ComfyUI names a pack's modules by their path, so what is pickled in one process would not be found in another, other packs
could not import anything, and errors would carry a folder in their names. Once the pack is loaded, its modules stand in
`sys.modules` under `ipadapter_core` too, and their classes and functions say that they are from there; those that are
imported later, under either name, do the same.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from types import FunctionType, ModuleType

NAME = "ipadapter_core"
PACKAGE = __name__.rpartition(".")[0]  # what this process calls the package


def publish() -> None:
    """Makes the package importable under its own name, once its nodes are loaded; another copy that has done so stays."""
    if PACKAGE == NAME or sys.modules.get(NAME) not in (None, sys.modules[PACKAGE]):
        return
    for name, module in list(sys.modules.items()):
        _adopt(name, module)
    if not any(isinstance(finder, LateModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, LateModules())


class LateModules(MetaPathFinder):
    """Finds modules of the package that are imported after it was published: each is loaded once and has both names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None for everything outside of the package."""
        if _twin(fullname) is None:
            return None
        found = PathFinder.find_spec(fullname, path, target)
        if found is None or found.origin is None:
            return found
        places = found.submodule_search_locations
        loader = _Adopting(fullname, found.origin)
        return spec_from_file_location(fullname, found.origin, loader=loader, submodule_search_locations=places)


class _Adopting(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        twin = _twin(module.__name__) or module.__name__
        sys.modules[twin] = module
        try:
            super().exec_module(module)
        except BaseException:
            del sys.modules[twin]
            raise
        _adopt(module.__name__, module)


def _twin(name: str) -> str | None:
    """The other name of a module of the package."""
    for own, other in ((NAME, PACKAGE), (PACKAGE, NAME)):
        if name == own or name.startswith(f"{own}."):
            return other + name.removeprefix(own)
    return None


def _adopt(name: str, module: ModuleType) -> None:
    twin = _twin(name)
    if twin is None:
        return
    sys.modules[twin] = module
    if twin.startswith(NAME):
        for value in vars(module).values():
            if isinstance(value, type | FunctionType) and value.__module__ == name:
                value.__module__ = twin
