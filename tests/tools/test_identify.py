"""`dev.py identify` says what a file is, for any file, without a running ComfyUI."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pack.tools.identify.main import main
from pack.tools.miniature.models import adapter_weights
from safetensors.torch import save_file

pytestmark = [pytest.mark.tool, pytest.mark.inputs]

ROOT = Path(__file__).parents[2]
PLUS = adapter_weights("plus", [32] * 16, 768, feature=1280)


def test_one_of_every_kind(tmp_path, capsys):
    """A folder: adapters and encoders with their names and nodes, everything else with what it is."""
    save_file(PLUS, tmp_path / "a_plus.bin")
    torch.save({"state_dict": PLUS, "epoch": 3}, tmp_path / "b_trained.ckpt")
    vision = {"vision_model.embeddings.position_embedding.weight": torch.zeros(257, 1280),
              "vision_model.encoder.layers.31.layer_norm1.weight": torch.zeros(1280)}  # fmt: skip
    save_file(vision, tmp_path / "c_vision.safetensors")
    save_file({"lora_unet_x.lora_up.weight": torch.zeros(4, 4)}, tmp_path / "d_lora.safetensors")
    (tmp_path / "e_page.bin").write_text("<html>")
    (tmp_path / "f_link.safetensors").symlink_to("nowhere")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "siglip_vision_model"}))
    (tmp_path / "folder").mkdir()
    assert main([str(tmp_path)]) == 1
    blocks = [block.split(":", 1)[1].strip() for block in capsys.readouterr().out.replace("\n  ", " ").splitlines()]
    starts = (
        "adapter SD1.5, plus", "adapter SD1.5, plus", "image encoder CLIP ViT-H/14, 32 layers: use Load Image Encoder",
        "cannot be read the configuration of a siglip_vision_model", "no adapter d_lora.safetensors: is a LoRA",
        "cannot be read e_page.bin: cannot be read as weights: it is a web page",
        "cannot be read f_link.safetensors: is a link to nowhere",
    )  # fmt: skip
    assert len(blocks) == len(starts) and all(map(str.startswith, blocks, starts)), blocks


def test_what_is_there_decides_the_exit_status(tmp_path, capsys):
    """0 for adapters alone, 1 for anything else and for nothing at all."""
    save_file(PLUS, tmp_path / "plus.safetensors")
    assert main([str(tmp_path / "plus.safetensors")]) == 0
    assert "CLIP ViT-H/14 (laion2B)" in capsys.readouterr().out
    assert main([str(tmp_path / "nothing")]) == 1
    (tmp_path / "empty").mkdir()
    assert main([str(tmp_path / "empty")]) == 1
    assert "no files there" in capsys.readouterr().err


def test_comfyui_is_not_even_imported(tmp_path):
    """So that it answers at once, also where ComfyUI does not start."""
    save_file(PLUS, tmp_path / "plus.safetensors")
    code = (
        "import sys; sys.path.insert(0, 'tools'); from loading import load_pack; load_pack(); "
        "from pack.tools.identify.main import main; main(sys.argv[1:]); "
        "print('imported:', sorted({name.split('.')[0] for name in sys.modules} & {'comfy', 'folder_paths', 'nodes'}))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "plus.safetensors")]
    done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=True)
    assert "SD1.5, plus" in done.stdout and "imported: []" in done.stdout
