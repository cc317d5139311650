from . import _io as io
from . import _ui as ui

__all__ = ["ComfyAPI", "ComfyExtension", "io", "ui"]

class ComfyAPI:
    node_replacement: ComfyAPI.NodeReplacement
    class NodeReplacement:
        async def register(self, node_replace: io.NodeReplace) -> None: ...

class ComfyExtension:
    async def on_load(self) -> None: ...
    async def get_node_list(self) -> list[type[io.ComfyNode]]: ...
