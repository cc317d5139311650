#!/usr/bin/env python3
"""The commands of this repository. Each sets up what it needs first: once, quickly when it is done, safe to repeat."""

import argparse
import ast
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tools.comfyui.server import ComfyServer, Mounts, ServerError
from tools.environment import ROOT, SOURCES, Environment, prepare
from tools.frontend import FRONTENDS
from tools.pins import write_pins

Command = Callable[[Environment, argparse.Namespace], int]


def paths(environment: Environment, _: argparse.Namespace) -> int:
    """Prints where the interpreter and ComfyUI are; the last line is JSON."""
    found = {"python": str(environment.python), "comfyui": str(environment.comfyui), "version": environment.version}
    print(json.dumps(found))
    return 0


def test(environment: Environment, arguments: argparse.Namespace) -> int:
    """Runs the suite; further arguments go to pytest."""
    return _run(environment, "-m", "pytest", *arguments.rest)


def train_demo(environment: Environment, arguments: argparse.Namespace) -> int:
    """Trains the demo world's models from the seed up."""
    return _run(environment, ROOT / "tools" / "run.py", "demo.training.main", *arguments.rest)


def pins(environment: Environment, arguments: argparse.Namespace) -> int:
    """Writes tools/constraints/ anew: every package of every known ComfyUI version; --upgrade takes the newest of each."""
    return write_pins(environment.python, upgrade="--upgrade" in arguments.rest)


def serve(environment: Environment, arguments: argparse.Namespace) -> int:
    """Starts ComfyUI with the pack and the demo nodes, until Ctrl-C."""
    folder = ROOT / "output" / "serve"
    folder.mkdir(parents=True, exist_ok=True)
    server = ComfyServer(
        environment.python,
        environment.comfyui,
        port=arguments.port,
        folder=folder,
        mounts=Mounts(tuple(arguments.nodes)),
        options=arguments.rest,
        environment=environment.variables(),
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill ends as Ctrl-C does
    try:
        with server:
            print(f"ready {server.url}", flush=True)
            return server.wait()
    except KeyboardInterrupt:
        return 0
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1


def tool(folder: Path) -> Command:
    """The command that a folder of tools/ is: its `main.py`, run beside ComfyUI; the package's first line says what for."""

    def command(environment: Environment, arguments: argparse.Namespace) -> int:
        return _run(environment, ROOT / "tools" / "run.py", f"tools.{folder.name}.main", *arguments.rest)

    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    command.__doc__ = text.partition("\n")[0]
    return command


def commands() -> dict[str, Command]:
    """Every command by name: those of this file, and a folder of tools/ for each other one."""
    own: dict[str, Command] = {"test": test, "serve": serve, "train-demo": train_demo, "pins": pins, "paths": paths}
    folders = sorted(file.parent for file in (ROOT / "tools").glob("*/main.py"))
    return own | {_name_of(folder): tool(folder) for folder in folders}


def _name_of(folder: Path) -> str:
    """The command's name; `mcp_server` is `mcp`, since a folder named mcp would hide the package."""
    return folder.name.removesuffix("_server").replace("_", "-")


def main() -> int:
    """Parses the command line, prepares the environment and runs the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--comfyui", choices=SOURCES, help="which ComfyUI to fetch and use; COMFYUI_PATH names one of yours"
    )
    parser.add_argument("--frontend", choices=FRONTENDS, help="which frontend to serve; ComfyUI's own by default")
    found = commands()
    parsers = parser.add_subparsers(dest="command", required=True)
    for name, command in found.items():
        own = parsers.add_parser(name, help=command.__doc__, add_help=name in ("serve", "paths"))
        own.add_argument("--comfyui", choices=SOURCES, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        own.add_argument("--frontend", choices=FRONTENDS, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        if name == "serve":
            own.add_argument("--port", type=int, default=8188)
            own.add_argument(
                "--nodes", type=Path, nargs="*", default=[], metavar="DIR", help="further custom-node folders"
            )
    arguments, arguments.rest = parser.parse_known_args()
    return found[arguments.command](prepare(arguments.comfyui, arguments.frontend), arguments)


def _run(environment: Environment, *command: str | Path) -> int:
    full = [str(environment.python), *map(str, command)]
    try:
        return subprocess.run(full, cwd=ROOT, env=environment.variables(), check=False).returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
