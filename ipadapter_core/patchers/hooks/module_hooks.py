"""Hooks of single modules of a model, set as object patches: ComfyUI sets them while a patched clone is loaded, and takes
them out again. Other packs' hooks and patches at the same places stay.

A hook holds no module: ComfyUI copies object patches to the models of other devices.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from comfy.model_patcher import ModelPatcher

from .wrappers import NAME

AFTER = ("_forward_hooks", "_forward_hooks_with_kwargs")  # torch.nn.Module's own names
BEFORE = ("_forward_pre_hooks", "_forward_pre_hooks_with_kwargs")
BOTH = (*AFTER, *BEFORE)


def add_hook(model: ModelPatcher, path: str, names: tuple[str, str], hook: Callable[..., Any]) -> None:
    """Gives the module at `path` of the very `model` a hook that is called with keyword arguments, too; once."""
    hooks, with_kwargs = (model.get_model_object(f"{path}.{name}") for name in names)
    if NAME in hooks:
        return
    for name, entries in zip(names, (hooks | {NAME: hook}, with_kwargs | {NAME: True}), strict=True):
        model.add_object_patch(f"{path}.{name}", OrderedDict(entries))


def remove_hooks(model: ModelPatcher) -> None:
    """Takes our hooks out of the very `model`."""
    for path, patch in list(model.object_patches.items()):
        if path.rpartition(".")[2] in BOTH and NAME in patch:
            put_back(model, path, OrderedDict((key, hook) for key, hook in patch.items() if key != NAME))


def put_back(model: ModelPatcher, path: str, original: Any) -> None:
    """What stood in a place before: the model's own, or another pack's patch."""
    del model.object_patches[path]
    if model.get_model_object(path) != original:
        model.add_object_patch(path, original)
