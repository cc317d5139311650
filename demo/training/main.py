"""Trains the demo world from nothing: encoder, base, adapter, ControlNet, LoRA, and the files in `weights/`.

Run by `python3 dev.py train-demo`; it goes on where it stopped.
"""

import argparse
import json
import logging
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

from ...ipadapter_core.adapter.load import load_adapter
from ...ipadapter_core.adapter.save import FileDtype, save_adapter
from ...ipadapter_core.training.loop import Progress, Training
from ...ipadapter_core.training.new_adapter import Size
from ...ipadapter_core.training.schedule import Schedule
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
    base_model,
    below,
    read_weights,
)
from ..text_encoder import new_word_encoder
from .adapter import Frozen, train_demo_adapter
from .base import train_base
from .brand import train_brand_adapter
from .control import train_control
from .encoder import train_encoder
from .lora import train_lora
from .measured import BRAND_FILE, measured, table

logger = logging.getLogger(__name__)

SEED = 7
SCHEDULES = {
    "encoder": Schedule(2600, 1.2e-3, warm_up=40, decay=0.4, average=0.99),
    "base": Schedule(5000, 8.0e-4, decay=0.35, average=0.997),
    "adapter": Schedule(2700, 1.5e-3, warm_up=40, decay=0.4, average=0.98),
    "brand adapter": Schedule(400, 1.5e-4, warm_up=20, average=0.98),
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


class Stage(NamedTuple):
    """What the report says of one: how it went, how many numbers learned, how fast."""

    progress: Progress
    parameters: int
    learning_rate: float

    @staticmethod
    def of(training: Training) -> "Stage":
        """A finished training's."""
        count = sum(value.numel() for value in training.parameters.values())
        return Stage(training.progress, count, training.schedule.learning_rate)


def write_report(stages: dict[str, Stage], folder: Path) -> None:
    """Writes `training.json` and the loss curves; what it said of other stages stays."""
    file = folder / "training.json"
    report: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["stages"] if file.exists() else {}
    report |= {
        name: {
            "seed": SEED,
            "steps": stage.progress.step,
            "seconds": round(stage.progress.seconds),
            "parameters": stage.parameters,
            "learning_rate": stage.learning_rate,
            "losses": [[step, round(loss, 5)] for step, loss in stage.progress.curve()],
        }
        for name, stage in stages.items()
    }
    machine = {"torch": torch.__version__, "machine": platform.machine(), "threads": torch.get_num_threads()}
    file.write_text(json.dumps({"trained_on": machine, "stages": report}) + "\n", encoding="utf-8")
    draw_curves(
        {name: [(step, loss) for step, loss in stage["losses"]] for name, stage in report.items()},
        folder / "losses.png",
    )


def frozen_models(weights: Path) -> Frozen:
    """What adapters are trained between, as the files have it."""
    base = read_weights(BASE_FILE, weights)
    encoder = clip_vision(read_weights(ENCODER_FILE, weights))
    return Frozen(base_model(below(UNET_PREFIX, base)), new_word_encoder(below(WORDS_PREFIX, base)), encoder)


def train_models(schedules: dict[str, Schedule], checkpoints: Path, weights: Path) -> dict[str, Stage]:
    """Everything but the adapters."""
    encoding = train_encoder(schedules["encoder"], checkpoints, SEED)
    save(below("encoder.", encoding.average), weights / ENCODER_FILE)
    based = train_base(schedules["base"], checkpoints, SEED)
    averaged = based.average
    save(renamed(averaged, {"unet.": UNET_PREFIX, "words.": WORDS_PREFIX}), weights / BASE_FILE)
    unet = new_base_model().diffusion_model
    unet.load_state_dict(below("unet.", averaged))
    words = new_word_encoder(below("words.", averaged))
    control = train_control(unet, words, schedules["control"], checkpoints, SEED)
    save(control.average, weights / CONTROL_FILE)
    lora = train_lora(unet, words, schedules["lora"], checkpoints, SEED)
    save(renamed(lora.average, {"": "diffusion_model."}), weights / LORA_FILE)
    stages = {"encoder": encoding, "base": based, "control": control, "lora": lora}
    return {name: Stage.of(stage) for name, stage in stages.items()}


def train_adapters(schedules: dict[str, Schedule], checkpoints: Path, weights: Path) -> dict[str, Stage]:
    """The general adapter on the models in `weights`, and from it the one of a brand."""
    frozen, schedule = frozen_models(weights), schedules["adapter"]
    made = train_demo_adapter(frozen, Size.BASE, schedule, checkpoints, SEED)
    save_adapter(made.adapter, weights / ADAPTER_FILE, FileDtype.FP16)
    general = load_adapter(str(weights / ADAPTER_FILE))
    tuned = train_brand_adapter(frozen, general, schedules["brand adapter"], checkpoints, SEED)
    save_adapter(tuned.adapter, checkpoints / BRAND_FILE, FileDtype.FP16)
    learned = sum(value.numel() for value in made.adapter.network.parameters())
    return {"adapter": Stage(made.progress, learned, schedule.learning_rate)}


def main(argv: list[str]) -> int:
    """Parses the command line and trains."""
    parser = argparse.ArgumentParser(prog="dev.py train-demo", description=__doc__)
    parser.add_argument("--checkpoints", type=Path, default=CHECKPOINTS, help="where unfinished training is kept")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="where the finished files go")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the steps to take; a small one tries the way"
    )
    parser.add_argument("--adapters", action="store_true", help="train the adapters alone, on the models in --weights")
    parser.add_argument("--measure", action="store_true", help="train nothing, measure the adapters in --weights")
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0 leaves it to torch")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.measure:
        print(table(measured(arguments.weights, arguments.checkpoints / BRAND_FILE)))
        return 0
    schedules = {
        name: replace(plan, steps=max(1, round(plan.steps * arguments.scale))) for name, plan in SCHEDULES.items()
    }
    models = {} if arguments.adapters else train_models(schedules, arguments.checkpoints, arguments.weights)
    adapters = train_adapters(schedules, arguments.checkpoints, arguments.weights)
    write_report(models | adapters, arguments.weights)
    print(table(measured(arguments.weights, arguments.checkpoints / BRAND_FILE)))
    print(f"The demo world's files are in {arguments.weights}.")
    return 0
