"""Trains an IP-Adapter on a folder of images with captions, outside the server, for long runs.

Stopped with Ctrl-C it keeps what it has learned; the same command goes on from there. At the end the adapter is measured on
images that were held out, beside the one it began with and the model without any.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

import psutil
import torch

from ...ipadapter_core.adapter.managed import ManagedAdapter
from ...ipadapter_core.adapter.save import FileDtype, save_adapter
from ...ipadapter_core.errors import IPAdapterError
from ...ipadapter_core.training.base_model import BaseSettings
from ...ipadapter_core.training.examples import DropoutRates
from ...ipadapter_core.training.schedule import Schedule
from ...ipadapter_core.training.train import TrainingSettings
from ...ipadapter_core.training.user_training import Result, UserChoices, UserData, train_for_user
from .arguments import parse
from .dataset import Data, Pair, read
from .measure import Sampling, measured
from .models import Models, begun, models_of
from .report import table, write_scores

GIB = 2**30


def main(argv: list[str]) -> int:
    """Reads, trains, saves, measures."""
    given = parse(argv, __doc__)
    try:
        given.out.mkdir(parents=True, exist_ok=True)
        with torch.inference_mode():  # as a server runs workflows; the training itself leaves it
            return _run(given)
    except KeyboardInterrupt:
        print("stopped: what was learned is kept, the same command goes on from there", file=sys.stderr)
        return 130
    except (IPAdapterError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


def _run(given: argparse.Namespace) -> int:
    data = read(given)
    models = models_of(given)
    adapter = begun(models, given)
    print(
        f"{len(data.training)} images to train on, {len(data.held_out)} held out; {adapter.spec.describe()}",
        file=sys.stderr,
    )
    began = time.monotonic()
    made = _train(models, adapter, data.training, given)
    seconds = time.monotonic() - began
    file = given.out / f"{given.name}.safetensors"
    save_adapter(made.adapter, file, FileDtype.FP16, {"license": given.license} if given.license else None)
    print(f"saved {file}", file=sys.stderr)
    if not given.no_scores:
        _measure(models, {"start": adapter, "result": made.adapter}, data, given, _facts(made, seconds, data, given))
    return 0


def _train(models: Models, adapter: ManagedAdapter, pairs: Sequence[Pair], given: argparse.Namespace) -> Result:
    with torch.no_grad():
        latents = [models.vae.encode(pair.image[None]) for pair in pairs]
        captions = [models.caption(pair.caption) for pair in pairs]
        empty = models.caption("")
    references = [pair.image[None] for pair in pairs]
    return train_for_user(
        models.model, adapter, models.encoder, UserData(latents, captions, references, None, empty), _choices(given),
        lambda identity: given.out / f"checkpoint_{identity[:12]}.safetensors",
    )  # fmt: skip


def _choices(given: argparse.Namespace) -> UserChoices:
    rate = given.learning_rate if given.learning_rate is not None else (2e-5 if _tuned(given) else 1e-4)
    schedule = Schedule(
        given.steps, rate, warm_up=given.warm_up, average=given.average, save_every=given.save_every,
        course=given.schedule, accumulate=given.accumulate, clip=given.max_gradient, optimiser=given.optimizer,
    )  # fmt: skip
    base = BaseSettings(given.precision, not given.no_gradient_checkpointing, given.offloading)
    drops = DropoutRates(given.drop_image, given.drop_text, given.drop_both)
    return UserChoices(TrainingSettings(schedule, base, given.weighting, given.seed), given.batch, drops, given.views)


def _measure(
    models: Models, adapters: dict[str, ManagedAdapter], data: Data, given: argparse.Namespace, facts: dict[str, Any]
) -> None:
    """Start and result on images that were not seen; a new adapter's start is noise, so it is left out."""
    if not _tuned(given):
        adapters = {"result": adapters["result"]}
    sampling = Sampling(given.sampling_steps, given.cfg, given.weights, given.demo)
    found = measured(models, adapters, data.measured, sampling)
    write_scores(found, data.measured, facts, given.out)
    print(table(found))
    print(f"report.md, scores.png and images.png are in {given.out}", file=sys.stderr)


def _tuned(given: argparse.Namespace) -> bool:
    return given.from_adapter is not None or given.demo


def _facts(made: Result, seconds: float, data: Data, given: argparse.Namespace) -> dict[str, Any]:
    losses = made.losses["loss"]
    part = max(1, len(losses) // 10)
    facts: dict[str, Any] = {
        "images": f"{len(data.training)}, and {len(data.held_out)} held out",
        "steps": f"{len(losses)} of {given.batch * given.accumulate} images, at {given.size} pixels",
        "loss, first and last tenth": f"{sum(losses[:part]) / part:.4f}, {sum(losses[-part:]) / part:.4f}",
        "time": f"{seconds:.0f} s, the encoding of the images included; a run that went on counts from there",
        "main memory, at its end": f"{psutil.Process().memory_info().rss / GIB:.1f} GiB",
    }
    if torch.cuda.is_available():
        facts["GPU memory, at most"] = f"{torch.cuda.max_memory_allocated() / GIB:.1f} GiB"
    return facts
