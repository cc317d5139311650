#!/usr/bin/env python3
"""The commands of this repository: demo, test, serve, paths. Each sets up what it needs first, once."""

import argparse
import json
import sys

from tools.environment import Environment, prepare


def paths(environment: Environment, _: argparse.Namespace, __: list[str]) -> int:
    """Prints where the interpreter and ComfyUI are, as JSON."""
    print(
        json.dumps(
            {"python": str(environment.python), "comfyui": str(environment.comfyui), "version": environment.version}
        )
    )
    return 0


def main() -> int:
    """Parses the command line, prepares the environment and runs the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command")
    arguments, rest = parser.parse_known_args()
    return paths(prepare(), arguments, rest)


if __name__ == "__main__":
    sys.exit(main())
