"""One way to break the pack, and the tests that must notice."""

from pathlib import Path
from typing import NamedTuple

from ..environment import ROOT


class MutationError(ValueError):
    """A mutation that no longer fits the source: its text is gone, or stands there more than once."""


class Mutation(NamedTuple):
    """A text in a file of the repository and what takes its place; each of `tests` must fail then.

    `breaks` says what is wrong with the pack then, in words for docs/testing.md.
    """

    name: str
    breaks: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    def applied_to(self, text: str) -> str:
        """The file's text, broken; raises `MutationError` where `before` is not there exactly once."""
        found = text.count(self.before)
        if found != 1:
            raise MutationError(
                f"mutation {self.name}: its text stands {found} times in {self.file}, expected once: write it anew in "
                "tools/mutants"
            )
        return text.replace(self.before, self.after)

    def source(self, root: Path = ROOT) -> str:
        """The file's text as it is."""
        return (root / self.file).read_text(encoding="utf-8")
