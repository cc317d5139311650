"""The command line of `python3 dev.py train`."""

import argparse
from pathlib import Path

from ...ipadapter_core.training.new_adapter import Size
from ...ipadapter_core.training.objective import Weighting
from ...ipadapter_core.training.optimisers import OptimiserName
from ...ipadapter_core.training.precision import Precision
from ...ipadapter_core.training.schedule import RateCourse
from ..comfyui.server import ROOT

FILES = ("checkpoint", "diffusion_model", "vae", "encoder", "from_adapter")
WEIGHTS = (0.25, 0.5, 0.75, 1.0, 1.25)


def parse(argv: list[str], text: str | None) -> argparse.Namespace:
    """What was asked for; ends with a sentence where it does not go together."""
    parser = argparse.ArgumentParser(prog="dev.py train", description=text)
    _models(parser.add_argument_group("models"))
    _images(parser.add_argument_group("images"))
    _training(parser.add_argument_group("training"))
    _result(parser.add_argument_group("result"))
    given = parser.parse_args(argv)
    _check(parser, given)
    return given


def _models(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--checkpoint", type=Path, help="a whole checkpoint of the base model")
    group.add_argument("--diffusion-model", type=Path, help="in its place: the diffusion model alone, and with it")
    group.add_argument("--text-encoder", type=Path, nargs="+", default=[], help="... the files of the text encoder")
    group.add_argument(
        "--clip-type", default="stable_diffusion", help="... its type as in Load CLIP: flux, sd3, chroma, ..."
    )
    group.add_argument("--vae", type=Path, help="... the VAE, which may also replace a checkpoint's own")
    group.add_argument("--encoder", type=Path, help="the image encoder, a file or a folder as Hugging Face has it")
    group.add_argument("--from", dest="from_adapter", type=Path, help="a published adapter to tune; else a new one")
    group.add_argument("--kind", type=Size, choices=list(Size), default=Size.BASE, help="the size of a new one")
    group.add_argument("--demo", action="store_true", help="the demo world's models; without --images, its own images")


def _images(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--images", type=Path, help="a folder of images, each with its caption in a .txt beside it")
    group.add_argument("--caption", help="the caption of images that have no file of their own")
    group.add_argument(
        "--size", type=int, help="pixels: images keep their shape, and size x size in all (default: 512)"
    )
    group.add_argument(
        "--held-out", type=int, help="images that it is not trained on, to be measured on (default: a tenth, at most 8)"
    )
    group.add_argument("--views", type=int, default=4, help="crops of each reference")


def _training(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--steps", type=int, default=1000)
    group.add_argument("--batch", type=int, default=1)
    group.add_argument("--accumulate", type=int, default=1, help="batches that make one step")
    group.add_argument("--learning-rate", type=float, help="default: 1e-4 for a new adapter, 2e-5 to tune one")
    group.add_argument("--schedule", type=RateCourse, choices=list(RateCourse), default=RateCourse.HOLD_AND_FALL)
    group.add_argument("--warm-up", type=int, default=50)
    group.add_argument("--average", type=float, default=0.998, help="share of the running average that a step keeps")
    group.add_argument("--max-gradient", type=float, default=1.0)
    group.add_argument("--optimizer", type=OptimiserName, choices=list(OptimiserName), default=OptimiserName.ADAMW)
    group.add_argument("--weighting", type=Weighting, choices=list(Weighting), default=Weighting.DENOISED)
    for name in ("text", "image", "both"):
        group.add_argument(f"--drop-{name}", type=float, default=0.05, help=f"share of examples without {name}")
    group.add_argument("--precision", type=Precision, choices=list(Precision), default=Precision.BF16)
    group.add_argument("--no-gradient-checkpointing", action="store_true", help="faster, with more memory")
    group.add_argument("--offloading", action="store_true", help="keep the model outside the GPU: slow, little memory")
    group.add_argument("--seed", type=int, default=0)


def _result(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--out", type=Path, default=ROOT / "output" / "train", help="where everything goes")
    group.add_argument("--name", default="my_ip_adapter", help="of the adapter's file")
    group.add_argument("--license", default="", help="your terms, for the file's metadata")
    group.add_argument("--save-every", type=int, default=100, help="steps between two checkpoints")
    group.add_argument("--weights", type=float, nargs="+", default=WEIGHTS, help="at which the result is measured")
    group.add_argument("--sampling-steps", type=int, default=20, help="of the images that are measured")
    group.add_argument("--cfg", type=float, default=5.0, help="of the images that are measured")
    group.add_argument("--no-scores", action="store_true", help="do not measure")


def _check(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    if not given.demo:
        _check_models(parser, given)
    for path in (*(getattr(given, name) for name in FILES), *given.text_encoder, given.images):
        if path is not None and not path.exists():
            parser.error(f"there is no {path}")
    if given.images is not None and not given.images.is_dir():
        parser.error(f"--images {given.images} is no folder")
    if min(given.steps, given.batch, given.accumulate, given.views) < 1:
        parser.error("--steps, --batch, --accumulate and --views are at least 1")
    given.size = given.size or (64 if given.demo else 512)
    if given.size % 8 or given.size < 64:
        parser.error(f"--size {given.size}: expected a multiple of 8, at least 64")


def _check_models(parser: argparse.ArgumentParser, given: argparse.Namespace) -> None:
    if (given.checkpoint is None) == (given.diffusion_model is None):
        parser.error("give --checkpoint, or --diffusion-model with --text-encoder and --vae, or --demo")
    if given.diffusion_model is not None and not (given.text_encoder and given.vae):
        parser.error("--diffusion-model goes with --text-encoder and --vae")
    if given.encoder is None:
        parser.error("--encoder is missing: the image encoder that the adapter is to read")
    if given.images is None:
        parser.error("--images is missing: a folder of images with a caption in a text file beside each")
