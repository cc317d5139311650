"""A node that only the long run mounts into a server: how much hangs on the model that ComfyUI keeps in its cache."""

import json

from comfy_api.latest import ComfyExtension, io


class SoakProbe(io.ComfyNode):
    """Counts what is attached to a model."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The loader's own MODEL, which no Apply node may change."""
        return io.Schema(
            node_id="SoakProbe",
            display_name="Count Patches",
            category="IP-Adapter Core/tests",
            inputs=[io.Model.Input("model"), io.Int.Input("turn", default=0, min=0, max=2**31 - 1)],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, model, turn: int) -> io.NodeOutput:
        """A text, JSON: weights patched, entries in the options, wrappers and callbacks."""
        counts = {
            "weights": len(model.patches),
            "options": _entries(model.model_options),
            "objects": len(model.object_patches),
            "wrappers": _entries(model.wrappers),
            "callbacks": _entries(model.callbacks),
        }
        return io.NodeOutput(ui={"text": [json.dumps(counts)]})


def _entries(tree: object) -> int:
    if isinstance(tree, dict):
        return sum(_entries(value) for value in tree.values())
    return sum(_entries(value) for value in tree) if isinstance(tree, list) else 1


class SoakExtension(ComfyExtension):
    """The list of the long run's nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """The only one."""
        return [SoakProbe]


async def comfy_entrypoint() -> SoakExtension:
    """What ComfyUI calls when it loads this folder."""
    return SoakExtension()
