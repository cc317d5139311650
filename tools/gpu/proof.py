"""The bundle's proof: a new virtual environment with what such a machine has and nothing else, no network, the tiny run."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

THERE = ("torch==2.11.0", "triton", "transformers", "safetensors", "einops", "scipy", "Pillow", "aiohttp", "pytest")
NO_NETWORK = ("unshare", "--map-root-user", "--net")


def prove(bundle: Path, python: str) -> int:
    """Runs the bundle under `python`, a Python 3.12; its exit status. The report lies beside the bundle afterwards.

    Raises `SystemExit` where the network cannot be taken away.
    """
    if subprocess.run([*NO_NETWORK, "true"], check=False, capture_output=True).returncode:
        raise SystemExit("dev.py gpu --prove: `unshare --net` is not allowed here, so the network cannot be taken away")
    folder = Path(tempfile.mkdtemp())
    try:
        subprocess.run([python, "-m", "venv", folder / "venv"], check=True)
        own = folder / "venv" / "bin" / "python"
        install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", own, *THERE]
        subprocess.run(install, check=True)
        start, out = perf_counter(), bundle.with_name(f"{bundle.name}-proof")
        command = [*NO_NETWORK, own, bundle / "run.py", "--device", "cpu", "--tiny", "--out", out]
        status = subprocess.run([str(part) for part in command], check=False).returncode
        print(f"the bundle's run without a network: exit status {status}, {perf_counter() - start:.0f} s")
        return status
    finally:
        shutil.rmtree(folder)
