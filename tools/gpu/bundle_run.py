"""Runs `dev.py gpu` from this folder, on a machine that has PyTorch and no network: `python3 FOLDER/run.py [arguments]`.

Standard library only. Wheels that the machine has already stay packed; the others are unpacked beside this file.
"""

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = next(folder for folder in HERE.parents if (folder / "tools" / "run.py").is_file())


def main(arguments: list[str]) -> int:
    """Unpacks, then starts the run in a process that finds everything."""
    site, folders = HERE / "site", [HERE / "stand_ins"]
    for wheel in sorted((HERE / "wheels").glob("*.whl")):
        if importlib.util.find_spec(wheel.name.split("-")[0]) is None:
            with zipfile.ZipFile(wheel) as packed:
                packed.extractall(site)
    if importlib.util.find_spec("av") is not None:
        folders.clear()
    environment = os.environ | {
        "COMFYUI_PATH": str(HERE / "comfyui"),
        "PYTHONPATH": os.pathsep.join(str(folder) for folder in (site, *folders)),
        "PYTHONUTF8": "1",
        "HF_HUB_OFFLINE": "1",
    }
    command = [sys.executable, str(ROOT / "tools" / "run.py"), "tools.gpu.main", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
