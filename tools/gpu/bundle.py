"""What a machine with PyTorch and no network lacks for this run: ComfyUI's own modules and a few wheels, in one folder.

`python3 FOLDER/run.py ...` is then `python3 dev.py gpu ...` there. Nothing of ComfyUI's frontend, templates or media, no
tokenizers, and none of the packages that such a machine has.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ..environment import DEFAULT_COMFYUI, constraints

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("comfy", "comfy_api", "comfy_execution")  # of ComfyUI, with the small files beside their modules
SINGLE = ("comfy_extras/nodes_torch_compile.py", "LICENSE", "requirements.txt")
SMALL = 64 * 1024  # bytes; what is larger and no module is a tokenizer
PINNED = ("torchsde", "trampoline", "psutil", "comfy-aimdo")  # as tools/constraints has them
PURE = ("comfy-kitchen",)  # its wheel without CUDA code, a hundredth of the other's size
FOR_TORCH = {"torchvision": "0.26.0", "torchaudio": "2.11.0"}  # built for PyTorch 2.11
LINUX = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64", "any")
PYTHON = "3.12"
LIMIT = 60 * 1024 * 1024  # bytes of the working tree and the bundle together


def make(folder: Path) -> int:
    """Writes the folder anew. Raises `SystemExit` where it would be too large to travel."""
    comfyui = Path(os.environ["COMFYUI_PATH"])
    shutil.rmtree(folder, ignore_errors=True)
    for source in _modules(comfyui):
        place = folder / "comfyui" / source.relative_to(comfyui)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, place)
    _download(folder / "wheels", comfyui)
    here = Path(__file__).parent
    shutil.copytree(here / "stand_ins", folder / "stand_ins", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(here / "bundle_run.py", folder / "run.py")
    size, tree = _size(folder.rglob("*")), _size(_travelling())
    print(f"{folder}: {size / 2**20:.1f} MiB, working tree {tree / 2**20:.1f} MiB")
    if size + tree > LIMIT:
        raise SystemExit(f"dev.py gpu --bundle: more than {LIMIT / 2**20:.0f} MiB together, too large to travel")
    return 0


def _modules(comfyui: Path) -> Iterator[Path]:
    """ComfyUI's files that the run may import or read."""
    yield from (comfyui / name for name in SINGLE)
    yield from comfyui.glob("*.py")
    for name in PACKAGES:
        for file in sorted((comfyui / name).rglob("*")):
            code = file.suffix in (".py", ".json") and "__pycache__" not in file.parts
            if file.is_file() and code and (file.suffix == ".py" or file.stat().st_size < SMALL):
                yield file


def _download(folder: Path, comfyui: Path) -> None:
    """The wheels for Linux on x86-64, by pip."""
    (pins,) = constraints(comfyui) or [ROOT / "tools" / "constraints" / f"{DEFAULT_COMFYUI}.txt"]
    lines = pins.read_text(encoding="utf-8").splitlines()
    releases = dict(line.split(" ;")[0].split("==") for line in lines if "==" in line.split(" ;")[0])
    wanted = [f"{name}=={releases[name]}" for name in PINNED] + [f"{name}=={one}" for name, one in FOR_TORCH.items()]
    pure = [f"{name}=={releases[name]}" for name in PURE]
    for packages, platforms in ((wanted, LINUX), (pure, ("any",))):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--python-version", PYTHON, "-d", str(folder)]
        command += [word for platform in platforms for word in ("--platform", platform)]
        subprocess.run([*command, *packages], check=True)


def _travelling() -> list[Path]:
    """The files of the working tree that git knows or does not ignore."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return [ROOT / name for name in names if name]


def _size(files) -> int:
    return sum(file.stat().st_size for file in files if file.is_file())
