"""What a call of an agent may name: files below allowed folders, short names, short texts; else one sentence."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

NAME = re.compile(r"[a-z0-9-]{1,40}")
LONGEST_SAID = 200  # characters of anything from outside, inside a sentence or a field


class Refused(Exception):
    """A call is not accepted; the message is one sentence that the agent can act on."""


def short(text: object) -> str:
    """A text from outside as data: one line, capped."""
    said = " ".join(str(text).split())
    return said if len(said) <= LONGEST_SAID else f"{said[: LONGEST_SAID - 3]}..."


def name_of(text: str) -> str:
    """The name of a character or a job."""
    if not NAME.fullmatch(text):
        raise Refused(f"the name is {short(text)!r}, expected 1 to 40 of the characters a-z, 0-9 and -")
    return text


def server_address(url: str, remote: bool) -> str:
    """An address of ComfyUI: this machine's, or any by `--remote`."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise Refused(f"--server is {short(url)!r}, expected http://HOST:PORT")
    if parts.hostname not in ("127.0.0.1", "localhost", "::1") and not remote:
        raise Refused(f"--server {parts.hostname} is another machine: say --remote if you trust it and the network")
    return url.rstrip("/")


@dataclass(frozen=True)
class Folders:
    """The folders that may be read from, resolved."""

    allowed: tuple[Path, ...]

    def file(self, text: str) -> Path:
        """The file that a path names once links are followed. Raises `Refused` outside the folders, before it is opened."""
        if "://" in text:
            raise Refused(f"{short(text)!r} is an address: save the image below a folder given as --allow")
        try:
            path = Path(text).expanduser().resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise Refused(f"{short(repr(text))} is no path: {short(error)}") from error
        if not any(path.is_relative_to(folder) for folder in self.allowed):
            names = ", ".join(str(folder) for folder in self.allowed[:10]) or "none"
            raise Refused(f"{short(text)!r} leads outside the folders given as --allow ({short(names)})")
        if not path.is_file():
            raise Refused(f"there is no file {short(text)!r}")
        return path
