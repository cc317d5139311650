"""Stands in for PyAV, which ComfyUI imports for videos: every name is an empty class, and nothing here uses one."""

import sys
from types import ModuleType

SUBMODULES = ("container", "subtitles", "subtitles.stream", "video", "video.reformatter")


class _Names(ModuleType):
    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


for _name in SUBMODULES:
    sys.modules[f"{__name__}.{_name}"] = _Names(f"{__name__}.{_name}")


def __getattr__(name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})
