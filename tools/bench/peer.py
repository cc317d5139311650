"""Another pack beside ours: whatever a folder registers as `IPAdapterAdvanced`, applied through that node and called as is.

Nothing of it is imported unless a folder is given, and nothing of it is part of this repository.
"""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from comfy.clip_vision import ClipVisionModel

from .adapters import peer_weights
from .scenes import model_at_size
from .sides import Case, Given, Machine, Ours

NODE = "IPAdapterAdvanced"
ALIAS = "bench_peer"
ATTENTION = "optimized_attention"
FULL_FACE = 257  # tokens
SEVERAL = 16  # tokens of one picture, where 128 are made of eight


class Peer:
    """A pack's nodes. Raises `SystemExit` where the folder holds none that registers the node."""

    def __init__(self, folder: Path):
        file = folder / "__init__.py"
        if not file.is_file():
            raise SystemExit(f"--peer {folder}: there is no __init__.py, name the folder of a node pack")
        spec = importlib.util.spec_from_file_location(ALIAS, file, submodule_search_locations=[str(folder)])
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules[ALIAS] = module
        spec.loader.exec_module(module)
        self.nodes: dict[str, Any] = getattr(module, "NODE_CLASS_MAPPINGS", {})
        if NODE not in self.nodes:
            raise SystemExit(f"--peer {folder}: that pack registers no {NODE}, so there is nothing to compare with")

    def fits(self, case: Case) -> bool:
        """UNets only; one reference for each frame is another node there, and full-face files are published for SD1.5 alone."""
        return (
            case.scene.model == "SD1.5" and not case.frames or case.scene.model == "SDXL" and case.tokens != FULL_FACE
        )

    def patched(self, case: Case, encoder: ClipVisionModel):
        """A clone of the scene's model with the node applied once for each adapter."""
        model = model_at_size(case.scene.model)
        for _ in range(case.adapters):
            model = self.apply(model, peer_weights(case.scene.model, case.tokens), encoder, case)
        return model

    def apply(self, model, weights: dict, encoder: ClipVisionModel, case: Case):
        """What the node does with its defaults."""
        node = self.nodes[NODE]()
        pictures = case.tokens // SEVERAL if case.tokens % SEVERAL == 0 else 1
        mask = torch.linspace(0, 1, case.scene.pixels).expand(1, case.scene.pixels, -1) if case.mask else None
        values = {"weight": 0.8, "weight_type": "linear", "combine_embeds": "concat", "start_at": 0.0, "end_at": 1.0,
                  "embeds_scaling": "V only", "attn_mask": mask}  # fmt: skip
        run = getattr(node, node.FUNCTION)
        image = torch.rand(pictures, 224, 224, 3)
        return run(model=model, ipadapter=weights, image=image, clip_vision=encoder, **values)[0]

    def work(self, model, one: Given, ours: Ours) -> Callable[[], Tensor]:
        """A layer's call of the pack's own patch, told what ComfyUI tells every patch."""
        hooks = model.model_options["transformer_options"]["patches_replace"]["attn2"]
        kind, number, depth = one.layer.block
        places = [(kind, number, depth), (kind, number), ("middle", 1, depth), ("middle", 1)]
        hook = next(hooks[place] for place in places if place in hooks)
        options = ours.layer_options(one.layer) | {"transformer_index": 4, "cond_or_uncond": [1, 0]}
        options |= {"original_shape": [2, 4, *ours.case.scene.latent], "sigmas": torch.full((2,), ours.sigma)}
        return lambda: hook(one.query, one.key, one.value, options)


def with_finished_base(finished: dict[int, Tensor]) -> Callable[[], None]:
    """Lets the pack's base attention hand out a finished tensor for known keys; returns what undoes it."""
    changed = []
    for name, module in list(sys.modules.items()):
        real = getattr(module, ATTENTION, None) if name.startswith(f"{ALIAS}.") else None
        if real is not None:
            setattr(module, ATTENTION, _finished(finished, real))
            changed.append((module, real))

    def undo() -> None:
        for module, real in changed:
            setattr(module, ATTENTION, real)

    return undo


def _finished(finished: dict[int, Tensor], real: Callable) -> Callable:
    def attention(query, key, value, *args, **kwargs):
        ready = finished.get(id(key))
        return real(query, key, value, *args, **kwargs) if ready is None else ready

    return attention


def machine_of_peer(machine: Machine) -> Machine:
    """Where the pack computes: it chooses by ComfyUI's own rule, which has to agree with ours."""
    import comfy.model_management

    there = comfy.model_management.get_torch_device()
    if there.type != machine.device.type:
        raise SystemExit(f"--peer: ComfyUI computes on {there}, the bench on {machine.device}; use the same for both")
    return machine
