"""Whether this ComfyUI offers the hooks that we need: one that is too old would do nothing, and say nothing."""

import inspect
from types import ModuleType

from comfy.model_patcher import ModelPatcher

from ...checkpoint.spec import AdapterSpec
from ...errors import ModelMismatchError
from ...warn_once import warn_once


def check_offers(module: ModuleType, words: tuple[str, ...], spec: AdapterSpec) -> None:
    """Raises `ModelMismatchError` when a module of ComfyUI does not know the hooks `words` by name.

    Its text is read, not its functions, which other packs may have replaced; a module without text is trusted.
    """
    try:
        source = inspect.getsource(module)
    except OSError:
        return
    missing = [word for word in words if word not in source]
    if missing:
        raise ModelMismatchError(
            f"{spec.file} ({spec.base.value}) acts through {' and '.join(missing)}, which {module.__name__} of this ComfyUI "
            "does not have: update ComfyUI to 0.17 or newer"
        )


def warn_of_older_comfyui() -> None:
    """Says once that this ComfyUI, older than 0.17, never tells patches that a run has ended."""
    if not hasattr(ModelPatcher, "model_patches_call_function"):
        warn_once(
            "found a ComfyUI older than 0.17, expected 0.17 or newer: after each run the keys and values of its references "
            "stay in the GPU's memory; update ComfyUI"
        )
