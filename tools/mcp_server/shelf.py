"""The server's own folder: characters with their references, and finished images, under names of its own making."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

from .refusal import Refused, name_of, short

MOST_CHARACTERS = 200


@dataclass(frozen=True)
class Card:
    """A character as it is kept: which references, what to take from them, how strongly."""

    name: str
    purpose: str
    weight: float
    references: list[str]  # file names in references/, each the hash of its bytes


class Shelf:
    """Reads and writes below one folder; a file appears whole or not at all."""

    def __init__(self, folder: Path):
        self.folder = folder

    def keep_reference(self, png: bytes) -> str:
        """Keeps a cleaned reference under the hash of its bytes; returns the file's name."""
        name = f"{hashlib.sha256(png).hexdigest()[:32]}.png"
        if not (self.folder / "references" / name).is_file():
            self._write("references", name, png)
        return name

    def reference(self, name: str) -> Path:
        """The file of a reference that was kept."""
        file = self.folder / "references" / name
        if not file.is_file():
            raise Refused(f"the reference {name} was deleted: save the character again")
        return file

    def keep_image(self, name: str, png: bytes) -> Path:
        """Keeps a finished image; returns its file."""
        return self._write("images", f"{name}.png", png)

    def keep(self, card: Card) -> None:
        """Writes a character's card, over an older one of the name."""
        known = self.names()
        if card.name not in known and len(known) >= MOST_CHARACTERS:
            raise Refused(f"{MOST_CHARACTERS} characters are kept already: delete one in {self.folder / 'characters'}")
        self._write("characters", f"{name_of(card.name)}.json", json.dumps(asdict(card), indent=1).encode())

    def names(self) -> list[str]:
        """The names of all characters."""
        return sorted(file.stem for file in (self.folder / "characters").glob("*.json"))[:MOST_CHARACTERS]

    def card(self, name: str) -> Card:
        """A character by its name. Raises `Refused` when it is not there or its card was damaged."""
        file = self.folder / "characters" / f"{name_of(name)}.json"
        if not file.is_file():
            raise Refused(f"there is no character {name}; there are {self.names()[:10]}")
        try:
            return Card(**json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise Refused(f"the card of {name} cannot be read ({short(error)}): save the character again") from error

    def _write(self, kind: str, name: str, data: bytes) -> Path:
        place = self.folder / kind
        partial = place / f".{uuid4().hex}.partial"
        try:
            place.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(data)
            os.replace(partial, place / name)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise Refused(f"{place} cannot be written: {short(error.strerror or error)}") from error
        return place / name
