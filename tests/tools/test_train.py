"""`python3 dev.py train`: from a folder of images to an adapter's file and a report, in the demo world."""

import json

import pytest
import torch
from pack.demo.load import ADAPTER_FILE, WEIGHTS
from pack.ipadapter_core.adapter.load import load_adapter
from pack.ipadapter_core.training.train import TrainingRun
from pack.tools.train import dataset, main
from pack.tools.train.arguments import parse
from PIL import Image
from safetensors import safe_open

pytestmark = [pytest.mark.training, pytest.mark.tool]

SHORT = ("--batch", "2", "--weights", "1", "--sampling-steps", "2", "--views", "1")


def command(folder, *more: str) -> list[str]:
    return ["--demo", "--out", str(folder), *SHORT, *more]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two steps on the demo's own images."""
    folder = tmp_path_factory.mktemp("train")
    assert main.main(command(folder, "--steps", "2", "--license", "MIT")) == 0
    return folder


def test_an_adapter_comes_out(trained):
    """It loads, says what it was made of, and differs from the one it began with."""
    file = trained / "my_ip_adapter.safetensors"
    begun, made = (load_adapter(str(path)) for path in (WEIGHTS / ADAPTER_FILE, file))
    assert made.spec.projector == begun.spec.projector
    assert any(
        not torch.equal(one, made.network.state_dict()[name]) for name, one in begun.network.state_dict().items()
    )
    with safe_open(file, "pt") as opened:
        said = opened.metadata()
    assert (said["license"], said["training_steps"], said["training_images"]) == ("MIT", "2", "26")


def test_it_is_measured(trained):
    """Images that were held out, without an adapter, with the first and with the last; files that a person reads."""
    report = json.loads((trained / "report.json").read_text(encoding="utf-8"))
    assert [(row["adapter"], row["weight"]) for row in report["rows"]] == [
        ("no adapter", 0),
        ("start", 1),
        ("result", 1),
    ]
    without, start, _ = report["rows"]
    assert without["pictures"] == 2 and start["references"][0] > without["references"][0]
    assert start["palette"] < without["palette"] and start["prompt"] is not None
    assert "2 of 2 images" in (trained / "report.md").read_text(encoding="utf-8")
    for name in ("scores.png", "images.png"):
        with Image.open(trained / name) as image:
            assert min(image.size) >= 64


def test_the_same_command_goes_on(trained, monkeypatch, capsys):
    """With more steps only those that are missing are taken, the same as if it had never stopped."""
    drawn: list[int] = []
    loss = TrainingRun.loss
    monkeypatch.setattr(TrainingRun, "loss", lambda run, number: drawn.append(number) or loss(run, number))
    assert main.main(command(trained, "--steps", "3", "--no-scores")) == 0
    assert drawn == [2]


def test_stopped_it_says_how_to_go_on(trained, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingRun, "loss", stop)
    assert main.main(command(trained, "--steps", "9")) == 130
    assert "the same command goes on from there" in capsys.readouterr().err


@pytest.fixture
def folder(tmp_path):
    """Twelve images of three shapes, with captions."""
    for number in range(12):
        size = ((96, 96), (128, 64), (64, 128))[number % 3]
        Image.new("RGB", size, (number * 20, 0, 0)).save(tmp_path / f"{number:02}.png")
        (tmp_path / f"{number:02}.txt").write_text("a star")
    return tmp_path


def given(folder, *more: str):
    return parse(["--demo", "--images", str(folder), *more], None)


def test_images_keep_their_shape(folder):
    """About as many pixels each, sides that the model takes; one of ten is held out, and the split follows from the seed."""
    data = dataset.read(given(folder, "--size", "64"))
    assert {tuple(pair.image.shape) for pair in (*data.training, *data.held_out)} == {
        (64, 64, 3), (48, 88, 3), (88, 48, 3)
    }  # fmt: skip
    assert len(data.training) == 11 and len(data.held_out) == 1
    again = dataset.read(given(folder, "--size", "64"))
    assert [pair.name for pair in again.held_out] == [pair.name for pair in data.held_out]


def test_without_spare_images_the_first_are_measured(folder):
    data = dataset.read(given(folder, "--held-out", "0"))
    assert not data.held_out and [pair.name for pair in data.measured] == [f"{number:02}.png" for number in range(8)]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "03.txt").unlink(), "1 of 12 images have no caption, such as 03.png"),
        (lambda folder: (folder / "03.png").write_bytes(b"\x89PNG no"), "03.png: cannot be read as an image"),
        (lambda folder: [file.unlink() for file in folder.glob("*.png")], "found no images"),
    ],
)  # fmt: skip
def test_bad_folders_are_refused(folder, capsys, tmp_path_factory, spoil, sentence):
    spoil(folder)
    out = tmp_path_factory.mktemp("out")
    assert main.main(["--demo", "--images", str(folder), "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert sentence in error and "Traceback" not in error and not list(out.iterdir())


def test_too_few_images_are_refused(folder, capsys, tmp_path_factory):
    for number in range(3, 12):
        (folder / f"{number:02}.png").unlink()
    assert main.main(["--demo", "--images", str(folder), "--out", str(tmp_path_factory.mktemp("out"))]) == 1
    assert "found 3 images to train on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "give --checkpoint"),
        (["--diffusion-model", "."], "goes with --text-encoder and --vae"),
        (["--checkpoint", "."], "--encoder is missing"),
        (["--checkpoint", ".", "--encoder", "."], "--images is missing"),
        (["--demo", "--from", "nowhere.safetensors"], "there is no nowhere.safetensors"),
        (["--demo", "--size", "100"], "expected a multiple of 8"),
        (["--demo", "--batch", "0"], "at least 1"),
    ],
)  # fmt: skip
def test_commands_that_do_not_go_together(words, sentence, capsys):
    with pytest.raises(SystemExit):
        parse(words, None)
    assert sentence in capsys.readouterr().err
