"""Names of files as workflows hold them, written on Windows or elsewhere."""

from collections.abc import Iterable, Sequence

from ..ipadapter_core.quoting import listed, quoted


def known_name(name: str, names: Iterable[str]) -> str:
    """The one of `names` that is meant, whichever separators the name has; a name that means none is given back."""
    wanted = _with_slashes(name)
    return next((one for one in names if _with_slashes(one) == wanted), name)


def check_name(name: str | None, names: Sequence[str], where: str, others: Sequence[str] = ()) -> bool | str:
    """For `validate_inputs`: whether `names` has the file, else a sentence; a name that is still to be computed is None.

    `others` are there and not offered: what is wrong with them is said when they are read.
    """
    if name is None or any(known_name(name, known) in known for known in (names, others)):
        return True
    there = f"one of {listed(names)}" if names else "a file, and there are none"
    return f"{where}: found '{quoted(name)}', expected {there}: choose a file of this node's list"


def _with_slashes(name: str) -> str:
    return str(name).replace("\\", "/")
