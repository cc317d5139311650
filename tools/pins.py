"""The constraints files: which release of every package dev.py installs for each version of ComfyUI.

Standard library only, as `environment.py`. A file holds for every platform and every Python from `OLDEST_PYTHON` on, and
names packages and releases alone: no index, no address, no path.
"""

import subprocess
import tempfile
from pathlib import Path

from .environment import CONSTRAINTS, REQUIREMENTS, SOURCES, comfyui_tree

OLDEST_PYTHON = "3.10"
PLAIN = ("--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--quiet")
HEADER = "# Made by `python3 dev.py pins` for ComfyUI {version}; not written by hand.\n"


def write_pins(python: Path, upgrade: bool = False) -> int:
    """A file for each of `SOURCES`; what a file pins already is kept unless that no longer fits, or with `upgrade`."""
    CONSTRAINTS.mkdir(exist_ok=True)
    for version in SOURCES:
        file = CONSTRAINTS / f"{version}.txt"
        file.write_text(HEADER.format(version=version) + _resolved(version, python, file, upgrade), encoding="utf-8")
        print(f"{file.name}: {sum('==' in line for line in file.read_text().splitlines())} pins", flush=True)
    return 0


def _resolved(version: str, python: Path, file: Path, upgrade: bool) -> str:
    """What `uv pip compile` says of our requirements and ComfyUI's. Raises `SystemExit` where nothing fits."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "constraints.txt"  # uv keeps the pins that it finds there
        if file.is_file():
            result.write_bytes(file.read_bytes())
        lists = (REQUIREMENTS, comfyui_tree(version, python) / "requirements.txt")
        command = [python, "-m", "uv", "pip", "compile", "--python", python, "--universal"]
        command += [
            "--python-version",
            OLDEST_PYTHON,
            *PLAIN,
            "-o",
            result,
            *lists,
            *(["--upgrade"] if upgrade else []),
        ]
        run = subprocess.run([str(part) for part in command], stdout=subprocess.DEVNULL, check=False)
        if run.returncode:
            raise SystemExit(f"dev.py pins: no set of packages fits tools/requirements.txt and ComfyUI {version}")
        lines = result.read_text(encoding="utf-8").splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith("#"))
