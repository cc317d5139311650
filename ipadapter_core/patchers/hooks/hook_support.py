"""Whether this ComfyUI offers the hooks that a family needs: one that is too old would do nothing, and say nothing."""

import inspect
from types import ModuleType

from ...checkpoint.spec import AdapterSpec
from ...errors import ModelMismatchError


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
