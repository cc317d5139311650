"""The server's own folder: characters with their references and image prompts, and finished images, under its own names."""

import hashlib
import json
import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from .refusal import NAME, Refused, name_of, short

MOST_CHARACTERS = 200
FILE = re.compile(r"[0-9a-f]{32}\.png")


@dataclass(frozen=True)
class Card:
    """A character as it is kept: which references, what to take from them, how strongly."""

    name: str
    purpose: str
    weight: float
    references: list[str]  # file names in references/, each the hash of its bytes
    prompt: str = ""  # file name in prompts/, of what the references were encoded to

    def checked(self) -> "Card":
        """Itself. Raises `ValueError` where a value is not what `Shelf.keep` writes, such as a file somewhere else."""
        files = [*self.references, *([self.prompt] if self.prompt else [])]
        if not self.references or not all(isinstance(name, str) and FILE.fullmatch(name) for name in files):
            raise ValueError(f"its files are {files}")
        if not isinstance(self.purpose, str) or type(self.weight) not in (int, float) or not 0 <= self.weight <= 2:
            raise ValueError(f"its purpose is {self.purpose!r} and its weight {self.weight!r}")
        return self


def content_name(png: bytes) -> str:
    """A file name that the same pixels have again."""
    return f"{hashlib.sha256(png).hexdigest()[:32]}.png"


class Shelf:
    """Reads and writes below one folder; a file appears whole or not at all."""

    def __init__(self, folder: Path):
        self.folder = folder

    def reference(self, name: str) -> bytes:
        """A reference that was kept."""
        try:
            return (self.folder / "references" / name).read_bytes()
        except OSError as error:
            raise Refused(f"the reference {short(name)} was deleted: save the character again") from error

    def prompt(self, name: str) -> Path | None:
        """The file of an image prompt, where it is kept."""
        file = self.folder / "prompts" / name
        return file if name and file.is_file() else None

    def keep_image(self, name: str, png: bytes) -> Path:
        """Keeps a finished image; returns its file."""
        return self._write("images", f"{name}.png", png)

    def check_room(self, name: str) -> None:
        """Raises `Refused` where a further character is one too many."""
        known = self.names()
        if name not in known and len(known) >= MOST_CHARACTERS:
            raise Refused(f"{MOST_CHARACTERS} characters are kept already: delete one in {self.folder / 'characters'}")

    def keep(self, card: Card, references: dict[str, bytes], prompt: bytes) -> None:
        """Writes a character, over an older one of the name: all of it, or nothing."""
        files = [("references", name, data) for name, data in references.items()] + [("prompts", card.prompt, prompt)]
        new = [self.folder / kind / name for kind, name, _ in files if not (self.folder / kind / name).exists()]
        try:
            for kind, name, data in files:
                self._write(kind, name, data)
            self._write("characters", f"{name_of(card.name)}.json", json.dumps(asdict(card), indent=1).encode())
        except Refused:
            for file in new:
                with suppress(OSError):
                    file.unlink()
            raise

    def names(self) -> list[str]:
        """The names of all characters."""
        found = (file.stem for file in (self.folder / "characters").glob("*.json"))
        return sorted(name for name in found if NAME.fullmatch(name))[:MOST_CHARACTERS]

    def card(self, name: str) -> Card:
        """A character by its name. Raises `Refused` when it is not there or its card was damaged."""
        file = self.folder / "characters" / f"{name_of(name)}.json"
        if not file.is_file():
            raise Refused(f"there is no character {name}; there are {self.names()[:10]}")
        try:
            return Card(**json.loads(file.read_text(encoding="utf-8"))).checked()
        except (OSError, ValueError, TypeError) as error:
            raise Refused(f"the card of {name} cannot be read ({short(error)}): save the character again") from error

    def _write(self, kind: str, name: str, data: bytes) -> Path:
        place = self.folder / kind
        partial = place / f".{uuid4().hex}.partial"
        try:
            place.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(data)
            os.replace(partial, place / name)
        except OSError as error:
            with suppress(OSError):
                partial.unlink()
            raise Refused(f"{place} cannot be written: {short(error.strerror or error)}") from error
        return place / name
