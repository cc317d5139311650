"""Values from outside in messages: cut to a length, in characters that every terminal shows."""

from collections.abc import Iterable

from .limits import MESSAGE, NAMES, QUOTED

CUT = "…"


def quoted(value: object, limit: int = QUOTED) -> str:
    """A value as text of at most `limit` characters; control characters and lone surrogates are escaped."""
    text = value[: limit + 1] if isinstance(value, str) else _text(value)
    shown = "".join(
        one if one.isprintable() else one.encode("unicode_escape", "backslashreplace").decode() for one in text
    )
    return shown if len(shown) <= limit else shown[: limit - 1] + CUT


def listed(values: Iterable[object], limit: int = NAMES) -> str:
    """The first names of a list, and how many more there are; "nothing" of an empty one."""
    known = list(values)
    shown = ", ".join(quoted(value) for value in known[:limit])
    return (shown + (f" and {len(known) - limit} more" if len(known) > limit else "")) or "nothing"


def shortened(message: str) -> str:
    """A whole message within its limit; the end, which says what to do, is kept."""
    if len(message) <= MESSAGE:
        return message
    end = MESSAGE // 3
    return message[: MESSAGE - end - len(CUT)] + CUT + message[-end:]


def _text(value: object) -> str:
    """Text of a value of any size: of a number with thousands of digits only that it is one."""
    if isinstance(value, int) and value.bit_length() > 4 * QUOTED:
        return f"a number of {value.bit_length()} bits"
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a foreign object's own text is not ours to trust
        return f"{type(value).__name__} ({type(error).__name__})"
