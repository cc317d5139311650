"""Runs one of our modules beside ComfyUI: `python tools/run.py demo.train ...` calls `pack.demo.train.main([...])`."""

import importlib
import sys

from loading import load_pack, use_comfyui

if __name__ == "__main__":
    use_comfyui()
    load_pack()
    sys.exit(importlib.import_module(f"pack.{sys.argv[1]}").main(sys.argv[2:]))
