#!/usr/bin/env python3
"""The commands of this repository. Each sets up what it needs first: once, quickly when it is done, safe to repeat."""

import argparse
import json
import signal
import subprocess
import sys
from pathlib import Path

from tools.environment import ROOT, SOURCES, Environment, prepare
from tools.pins import write_pins
from tools.server import ComfyServer, Mounts, ServerError


def paths(environment: Environment, _: argparse.Namespace) -> int:
    """Prints where the interpreter and ComfyUI are; the last line is JSON."""
    found = {"python": str(environment.python), "comfyui": str(environment.comfyui), "version": environment.version}
    print(json.dumps(found))
    return 0


def test(environment: Environment, arguments: argparse.Namespace) -> int:
    """Runs the suite; further arguments go to pytest."""
    return _run(environment, "-m", "pytest", *arguments.rest)


def demo(environment: Environment, arguments: argparse.Namespace) -> int:
    """Turns a reference and a prompt into pictures in a real ComfyUI server, and measures them."""
    return _run(environment, ROOT / "tools" / "run.py", "tools.demo", *arguments.rest)


def train_demo(environment: Environment, arguments: argparse.Namespace) -> int:
    """Trains the demo world's models from the seed up."""
    return _run(environment, ROOT / "tools" / "run.py", "demo.train", *arguments.rest)


def bench(environment: Environment, arguments: argparse.Namespace) -> int:
    """Measures what an image prompt costs; --peer DIR beside another pack. Writes docs/benchmarks.md."""
    return _run(environment, ROOT / "tools" / "run.py", "tools.bench.main", *arguments.rest)


def workflows(environment: Environment, arguments: argparse.Namespace) -> int:
    """Writes the graphs of workflows/ anew from tools/workflows.py."""
    return _run(environment, ROOT / "tools" / "run.py", "tools.write_workflows", *arguments.rest)


def docs(environment: Environment, arguments: argparse.Namespace) -> int:
    """Writes locales and docs from the code and says what is missing; --check only looks, --pictures draws anew."""
    return _run(environment, ROOT / "tools" / "run.py", "tools.docs", *arguments.rest)


def figures(environment: Environment, arguments: argparse.Namespace) -> int:
    """Makes the attention maps and the comparison of weights in docs/images anew, and prints the scores."""
    return _run(environment, ROOT / "tools" / "run.py", "tools.figures", *arguments.rest)


def migrate(environment: Environment, arguments: argparse.Namespace) -> int:
    """Rewrites a graph of ComfyUI_IPAdapter_plus to our own nodes."""
    return _run(environment, ROOT / "tools" / "run.py", "tools.migrate", *arguments.rest)


def old_pages(environment: Environment, arguments: argparse.Namespace) -> int:
    """Writes the help pages of the nodes of ComfyUI_IPAdapter_plus anew from nodes/compat/pages.py."""
    return _run(environment, ROOT / "tools" / "run.py", "tools.write_old_pages", *arguments.rest)


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


COMMANDS = {
    "demo": demo,
    "test": test,
    "serve": serve,
    "train-demo": train_demo,
    "workflows": workflows,
    "bench": bench,
    "docs": docs,
    "figures": figures,
    "migrate": migrate,
    "old-pages": old_pages,
    "pins": pins,
    "paths": paths,
}


def main() -> int:
    """Parses the command line, prepares the environment and runs the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--comfyui", choices=SOURCES, help="which ComfyUI to fetch and use; COMFYUI_PATH names one of yours"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in COMMANDS.items():
        own = commands.add_parser(name, help=command.__doc__, add_help=name in ("serve", "paths"))
        own.add_argument("--comfyui", choices=SOURCES, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        if name == "serve":
            own.add_argument("--port", type=int, default=8188)
            own.add_argument(
                "--nodes", type=Path, nargs="*", default=[], metavar="DIR", help="further custom-node folders"
            )
    arguments, arguments.rest = parser.parse_known_args()
    return COMMANDS[arguments.command](prepare(arguments.comfyui), arguments)


def _run(environment: Environment, *command: str | Path) -> int:
    full = [str(environment.python), *map(str, command)]
    try:
        return subprocess.run(full, cwd=ROOT, env=environment.variables(), check=False).returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
