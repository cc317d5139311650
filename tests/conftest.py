"""Makes `pack` (this repository) and `comfy` importable; see tools/loading.py for why not through sys.path."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

from loading import load_pack, use_comfyui

use_comfyui()
load_pack()

import torch

torch.set_num_threads(1)  # miniature models only wait for a second thread

from pack.tests.watch import seen  # noqa: F401 - a fixture for every test
