"""Trains the demo world from nothing: encoder, base, adapter, ControlNet, LoRA, and the files in `weights/`.

Run by `python3 dev.py train-demo`; it goes on where it stopped.
"""

import argparse
import json
import logging
import platform
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ...ipadapter_core.training.loop import Progress, Schedule, Training
from ..base import new_base_model
from ..curve import draw_curves
from ..encoder import clip_vision
from ..load import (
    ADAPTER_FILE,
    BASE_FILE,
    CONTROL_FILE,
    ENCODER_FILE,
    LORA_FILE,
    UNET_PREFIX,
    WEIGHTS,
    WORDS_PREFIX,
    below,
)
from ..text_encoder import new_word_encoder
from .adapter import Teachers, train_adapter, train_control
from .base import train_base
from .encoder import train_encoder
from .lora import train_lora

logger = logging.getLogger(__name__)

SEED = 7
SCHEDULES = {
    "encoder": Schedule(2600, 1.2e-3, warm_up=40, decay=0.4, average=0.99),
    "base": Schedule(5000, 8.0e-4, decay=0.35, average=0.997),
    "adapter": Schedule(900, 1.5e-3, decay=0.4, average=0.98),
    "control": Schedule(360, 8.0e-4, decay=0.3, average=0.99),
    "lora": Schedule(200, 4.0e-3, warm_up=20, decay=0.4, average=0.97),
}
CHECKPOINTS = Path("output/training")


def save(weights: dict[str, Tensor], file: Path) -> None:
    """Writes tensors in half precision."""
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.half().contiguous() for key, value in weights.items()}, file)


def renamed(weights: dict[str, Tensor], prefixes: dict[str, str]) -> dict[str, Tensor]:
    """The tensors under the first of the prefixes that fits, with it exchanged for the other; the rest is left out."""
    return {
        new + key[len(old) :]: value
        for key, value in weights.items()
        for old, new in prefixes.items()
        if key.startswith(old)
    }


def write_report(stages: dict[str, Training], folder: Path) -> None:
    """Writes `training.json` and the loss curves."""
    progress: dict[str, Progress] = {name: stage.progress for name, stage in stages.items()}
    report = {
        name: {
            "seed": SEED,
            "steps": stage.progress.step,
            "seconds": round(stage.progress.seconds),
            "parameters": sum(value.numel() for value in stage.parameters.values()),
            "learning_rate": stage.schedule.learning_rate,
            "losses": [[step, round(loss, 5)] for step, loss in stage.progress.losses],
        }
        for name, stage in stages.items()
    }
    machine = {"torch": torch.__version__, "machine": platform.machine(), "threads": torch.get_num_threads()}
    (folder / "training.json").write_text(
        json.dumps({"trained_on": machine, "stages": report}) + "\n", encoding="utf-8"
    )
    draw_curves({name: stage.losses for name, stage in progress.items()}, folder / "losses.png")


def train(checkpoints: Path, weights: Path, scale: float = 1.0) -> None:
    """Runs every stage that is not finished and writes the files."""
    schedules = {name: replace(plan, steps=max(1, round(plan.steps * scale))) for name, plan in SCHEDULES.items()}
    stages = {"encoder": train_encoder(schedules["encoder"], checkpoints, SEED)}
    encoder_weights = below("encoder.", stages["encoder"].average)
    save(encoder_weights, weights / ENCODER_FILE)

    stages["base"] = train_base(schedules["base"], checkpoints, SEED)
    averaged = stages["base"].average
    save(renamed(averaged, {"unet.": UNET_PREFIX, "words.": WORDS_PREFIX}), weights / BASE_FILE)
    unet = new_base_model().diffusion_model
    unet.load_state_dict(below("unet.", averaged))
    words = new_word_encoder(below("words.", averaged))

    encoder = clip_vision({key: value.clone() for key, value in encoder_weights.items()})
    stages["adapter"] = train_adapter(Teachers(unet, words, encoder), schedules["adapter"], checkpoints, SEED)
    save(stages["adapter"].average, weights / ADAPTER_FILE)
    stages["control"] = train_control(unet, words, schedules["control"], checkpoints, SEED)
    save(stages["control"].average, weights / CONTROL_FILE)
    stages["lora"] = train_lora(unet, words, schedules["lora"], checkpoints, SEED)
    save(renamed(stages["lora"].average, {"": "diffusion_model."}), weights / LORA_FILE)
    write_report(stages, weights)


def main(argv: list[str]) -> int:
    """Parses the command line and trains."""
    parser = argparse.ArgumentParser(prog="dev.py train-demo", description=__doc__)
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS, help="where unfinished training is kept")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="where the finished files go")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the steps to take; a small one tries the way"
    )
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0 leaves it to torch")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    train(arguments.checkpoints, arguments.weights, arguments.scale)
    print(f"The demo world's files are in {arguments.weights}.")
    return 0
