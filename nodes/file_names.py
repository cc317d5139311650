"""Names of files as workflows hold them, written on Windows or elsewhere."""

from collections.abc import Iterable


def known_name(name: str, names: Iterable[str]) -> str:
    """The one of `names` that is meant, whichever separators the name has; a name that means none is given back."""
    wanted = _with_slashes(name)
    return next((one for one in names if _with_slashes(one) == wanted), name)


def _with_slashes(name: str) -> str:
    return str(name).replace("\\", "/")
