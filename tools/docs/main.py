"""`python3 dev.py docs`: writes what is generated from the code, and says what people still have to write.

With `--check` nothing is written; with `--pictures` the images are made anew, in a real ComfyUI with the demo world.
"""

import argparse
import sys
from pathlib import Path

from ..docs import help_pages, locales
from ..environment import ROOT
from ..node_texts import native_nodes

PAGES = ("locales", "errors", "gallery", "models", "compat", "rooms")


def main(argv: list[str]) -> int:
    """Returns 1 when something is missing, or, with `--check`, out of date."""
    parser = argparse.ArgumentParser(prog="dev.py docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, only say what disagrees")
    parser.add_argument("--only", nargs="+", choices=PAGES, help="write these alone; errors takes a minute or two")
    parser.add_argument("--pictures", nargs="*", metavar="NAME", help="make images anew: those named, or all")
    arguments = parser.parse_args(argv)
    if arguments.pictures is not None:
        from ..pictures.make import make

        make(arguments.pictures)
    only = tuple(arguments.only or PAGES)
    said = stale() if arguments.check else write(only)
    said += missing(only)
    for line in said:
        print(line, file=sys.stderr)
    print("the documentation fits the code" if not said else f"{len(said)} things to do", file=sys.stderr)
    return 1 if said else 0


def generated(only: tuple[str, ...] = PAGES) -> dict[Path, str]:
    """Every file that follows from the code, with its text; of those named `only`."""
    from ..docs import compat_pages, errors_page, gallery_page, models_page, rooms_picture

    pages = {
        "locales": lambda: locales.locale_files(native_nodes()),
        "errors": errors_page.pages,
        "gallery": gallery_page.pages,
        "models": models_page.pages,
        "compat": compat_pages.pages,
        "rooms": rooms_picture.pages,
    }
    return {file: text for name in only for file, text in pages[name]().items()}


def stale() -> list[str]:
    """The generated files that are not what the code says."""
    wrong = [file for file, text in generated().items() if not file.is_file() or file.read_text("utf-8") != text]
    return [f"{file.relative_to(ROOT)} is not what the code says: run python3 dev.py docs" for file in wrong]


def write(only: tuple[str, ...] = PAGES) -> list[str]:
    """Writes the generated files and a beginning for each missing help page."""
    for file, text in {**generated(only), **help_pages.skeletons(native_nodes())}.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.is_file() or file.read_text("utf-8") != text:
            file.write_text(text, encoding="utf-8", newline="\n")
            print(f"wrote {file.relative_to(ROOT)}", file=sys.stderr)
    return []


def missing(only: tuple[str, ...] = PAGES) -> list[str]:
    """What only a person can write: help pages, translations, workflows that provoke errors."""
    from .errors_page import unprovoked

    nodes = native_nodes()
    words = locales.untranslated(nodes)
    said = [f"tools/translations/{language}.json: {text!r}" for language, absent in words.items() for text in absent]
    said += [
        f"{place.file}:{place.first}: no workflow in tools/miniature/error_graphs.py provokes this"
        for place in (unprovoked() if "errors" in only else [])
    ]
    return help_pages.complaints(nodes) + said
