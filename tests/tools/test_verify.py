"""`dev.py verify` on a folder of files: miniatures of all families, and SD1.5 at its true size."""

import json

import pytest
import torch
from diffusers import UNet2DConditionModel
from pack.ipadapter_core.checkpoint import unet_formats
from pack.ipadapter_core.checkpoint.enums import BaseModel
from pack.tools.miniature import faces, models, transformers
from pack.tools.miniature.instant_character import character_weights, instant_character
from pack.tools.miniature.pulid import pulid_flux
from pack.tools.miniature.pulid_sdxl import pulid_v1, pulid_v1_1
from pack.tools.verify import found, main, pair, prompts, reference_unet, report
from safetensors.torch import save_file

import comfy.model_detection
import comfy.supported_models

pytestmark = [pytest.mark.gpu, pytest.mark.tool]

SD15 = {"context_dim": 768, "num_heads": 8}
SDXL = {"context_dim": 2048, "model_channels": 64, "num_head_channels": 64}
FLUX = {"in_channels": 16, "out_channels": 16}
SD3 = {"in_channels": 16, "out_channels": 16}
PULID = ("pulid_v1.safetensors", "pulid_v11.safetensors", "pulid_flux.safetensors")  # diffusers has none of them
TRANSFORMERS = {  # file name, model and its changes, adapter file and its keys and shapes
    "flux.safetensors": ("FLUX", FLUX, "xlabs.safetensors", transformers.xlabs(2, 256, 64)),
    "sd35.safetensors": ("SD3", SD3, "sd35_ipa.safetensors", transformers.instantx_sd3(3, 192)),
    "anima.safetensors": ("Anima", {}, "anima_ipa.safetensors", transformers.lucifer(3, 128)),
}


def saved(weights, path, prefix=""):
    """A safetensors file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({prefix + key: tensor.contiguous().clone() for key, tensor in weights.items()}, path)


def unet_file(base, folder, changes):
    """A checkpoint, and adapters of several layouts for it."""
    model = models.tiny_model(base, **changes)
    name = base.lower().replace(".", "")
    saved(
        model.model.diffusion_model.state_dict(),
        folder / "checkpoints" / f"{name}.safetensors",
        found.INSIDE_CHECKPOINT,
    )
    widths, width = models.widths_of(model), changes["context_dim"]
    for kind, feature in (("base", 1024), ("plus", 1280)):
        weights = models.adapter_weights(kind, widths, width, feature=feature, tokens=16 if kind == "plus" else 4)
        saved(weights, folder / "ipadapter" / f"{kind}_{name}.safetensors")
    if base == "SD1.5":
        saved(faces.weights_of("FaceID", widths, width, lora=True), folder / "ipadapter" / "faceid_sd15.safetensors")
        saved(faces.weights_of("FaceID Plus", widths, width), folder / "ipadapter" / "faceplus_sd15.safetensors")


def kolors_file(folder):
    """diffusers' own file of a UNet like Kolors', and its adapter."""
    unet = UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, layers_per_block=2, block_out_channels=(64, 128, 256),
        attention_head_dim=(1, 2, 4), cross_attention_dim=96, down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * 2),
        up_block_types=(*["CrossAttnUpBlock2D"] * 2, "UpBlock2D"), transformer_layers_per_block=(1, 2, 10),
        use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=4096 + 6 * 256, encoder_hid_dim=192, encoder_hid_dim_type="text_proj",
    )  # fmt: skip
    saved(models.randomise(unet, 3).state_dict(), folder / "unet" / "diffusion_pytorch_model.safetensors")
    widths = [size for size, count in ((128, 4), (256, 20), (256, 30), (128, 6), (256, 10)) for _ in range(count)]
    saved(faces.weights_of("Kolors plus", widths, 96), folder / "ipadapter" / "kolors_plus.safetensors")


def pulid_files(folder):
    """PuLID for SDXL, both releases, and for FLUX.1."""
    widths = models.widths_of(models.tiny_model("SDXL", **SDXL))
    shapes = {"v1": pulid_v1(widths, 2048), "v11": pulid_v1_1(widths, 2048), "flux": pulid_flux(2, 256)}
    for name, one in shapes.items():
        saved(transformers.weights_of(one), folder / "ipadapter" / f"pulid_{name}.safetensors")


@pytest.fixture
def small_sizes(monkeypatch):
    """ComfyUI's detection, told of the miniatures' sizes, which are nobody's."""
    monkeypatch.setitem(comfy.supported_models.SD15.unet_config, "model_channels", 32)
    monkeypatch.setitem(comfy.supported_models.SDXL.unet_config, "model_channels", 64)
    real = comfy.model_detection.detect_unet_config

    def detected(tensors, prefix, **given):
        sizes = real(tensors, prefix, **given)
        return sizes | transformers.ANIMA if sizes and sizes.get("image_model") == "anima" else sizes

    monkeypatch.setattr(comfy.model_detection, "detect_unet_config", detected)
    monkeypatch.setattr(unet_formats, "KOLORS_WIDTH", 160)


@pytest.fixture
def sd15_folder(tmp_path, small_sizes):
    """SD1.5 with two adapters, a broken file, and one of another trade."""
    unet_file("SD1.5", tmp_path, SD15)
    (tmp_path / "ipadapter" / "broken.safetensors").write_bytes(b"<html>")
    saved({"lora_unet.down.weight": torch.zeros(4, 4)}, tmp_path / "loras" / "style.safetensors")
    return tmp_path


@pytest.fixture
def folder(sd15_folder):
    """Files of every family."""
    unet_file("SDXL", sd15_folder, SDXL)
    for file, (name, changes, adapter, shapes) in TRANSFORMERS.items():
        model = transformers.tiny_transformer(name, **changes)
        saved(model.model.diffusion_model.state_dict(), sd15_folder / "diffusion_models" / file)
        saved(transformers.weights_of(shapes), sd15_folder / "ipadapter" / adapter)
    kolors_file(sd15_folder)
    pulid_files(sd15_folder)
    return sd15_folder


def test_every_family_is_verified(folder, capsys):
    """All pairs hold; all that diffusers has beside it on the same files, below the bar or as near as without adapter."""
    out = folder / "out"
    status = main.main(["--models", str(folder), "--out", str(out), "--size", "64"])
    said = capsys.readouterr().out
    data = json.loads((out / "verify.json").read_text())
    rows = {row["adapter"]: row for row in data["rows"]}
    assert status == 0, said
    assert set(rows) == {
        "base_sd15.safetensors", "plus_sd15.safetensors", "faceid_sd15.safetensors", "base_sdxl.safetensors",
        "plus_sdxl.safetensors", "xlabs.safetensors", "sd35_ipa.safetensors", "anima_ipa.safetensors",
        "faceplus_sd15.safetensors", "kolors_plus.safetensors", *PULID,
    }  # fmt: skip
    assert all(row["zero_is_identical"] and row["passed"] and 1e-4 < row["effect"] < 10 for row in rows.values())
    compared = {name for name, row in rows.items() if row["error"] is not None}
    assert compared == set(rows) - {"anima_ipa.safetensors", *PULID}
    assert all(rows[name]["error"] <= pair.BAR for name in compared), {name: rows[name]["error"] for name in compared}
    assert all(row["adapter"] in (out / "verify.md").read_text() and row["adapter"] in said for row in rows.values())
    assert rows["base_sd15.safetensors"]["adapter_sha256"] == found.sha256(
        folder / "ipadapter" / "base_sd15.safetensors"
    )


def test_a_sentence_for_what_has_no_pair(sd15_folder, capsys):
    """A broken file, a LoRA, an adapter without its model, a model without an adapter."""
    saved(transformers.weights_of(TRANSFORMERS["flux.safetensors"][3]), sd15_folder / "ipadapter" / "xlabs.safetensors")
    model = transformers.tiny_transformer("SD3", **SD3)
    saved(model.model.diffusion_model.state_dict(), sd15_folder / "diffusion_models" / "sd35.safetensors")
    for kind in ("plus", "faceid", "faceplus"):
        (sd15_folder / "ipadapter" / f"{kind}_sd15.safetensors").unlink()
    assert main.main(["--models", str(sd15_folder), "--out", str(sd15_folder / "out"), "--size", "64"]) == 0
    said = capsys.readouterr().out
    for name in ("broken", "style", "xlabs", "sd35"):
        assert any(line.startswith(f"{name}.safetensors: ") for line in said.splitlines()), name


def test_a_wrong_weight_misses_the_bar(sd15_folder, capsys, monkeypatch):
    """Another weight in diffusers is an error far above the bar, in float64 as well; the command fails."""
    real = reference_unet.UNetReference.attach
    monkeypatch.setattr(reference_unet.UNetReference, "attach", lambda own, path, weight: real(own, path, 0.5))
    assert main.main(["--models", str(sd15_folder), "--out", str(sd15_folder / "out"), "--size", "64"]) == 1
    assert "4 of 4 pairs miss their bar" in capsys.readouterr().out


def test_nothing_to_verify_is_a_failure(tmp_path, capsys):
    """An empty folder, and one that is not there."""
    assert main.main(["--models", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    with pytest.raises(SystemExit, match="no such folder"):
        main.main(["--models", str(tmp_path / "nowhere")])


def test_rows_are_appended(tmp_path, monkeypatch):
    """Who verified which file with what error; earlier rows stay, what missed or was not compared is not added."""
    document = tmp_path / "verified.md"
    readme = tmp_path / "README.md"
    document.write_text(report.DOCUMENT.read_text())
    readme.write_text(report.README.read_text())
    monkeypatch.setattr(report, "DOCUMENT", document)
    monkeypatch.setattr(report, "README", readme)
    row = pair.Verified(
        "a", "1", "b.safetensors", "2" * 64, "SD1.5, plus", "e", True, 0.1, 1e-6, 1e-7, "float32", True, 1.0, None, ""
    )
    rows = [row, row._replace(adapter="missed", passed=False), row._replace(adapter="not compared", error=None)]
    for who in ("one person", "another person"):
        report.append(rows, who, {"name": "a machine"}, "2026-11-26")
    text = document.read_text()
    assert f"so far: b.safetensors by one person (sha256 {'2' * 12}), b.safetensors by another" in readme.read_text()
    assert text.count("b.safetensors") == 2 and "one person" in text and "another person" in text
    assert (
        "missed" not in text.split("<!-- verified -->")[1] and "not compared" not in text.split("<!-- verified -->")[1]
    )


def test_the_readme_says_what_the_table_says():
    """Nothing is claimed that has no row."""
    rows = [line for line in report.DOCUMENT.read_text().splitlines() if line.startswith("| ")][2:]
    assert f"<!-- verified -->\n{report.status(rows)}\n<!-- end of verified -->" in report.README.read_text()


@pytest.mark.slow
def test_sd15_at_its_true_size(tmp_path, capsys):
    """The published layouts at full size with random weights: checkpoint, base and plus adapters, through diffusers."""
    from pack.tools.bench.adapters import file_weights
    from pack.tools.bench.scenes import build
    from pack.tools.bench.steps import fill

    model = build("SD1.5", torch.device("cpu"), torch.float32)
    torch.manual_seed(3)
    fill(model.model.diffusion_model)
    saved(model.model.diffusion_model.state_dict(), tmp_path / "sd15.safetensors", found.INSIDE_CHECKPOINT)
    del model
    for tokens in (4, 16, 257):
        saved(file_weights("SD1.5", tokens), tmp_path / f"adapter_{tokens}.safetensors")
    (checkpoint,) = found.look_below(tmp_path).checkpoints
    assert checkpoint == found.Checkpoint(tmp_path / "sd15.safetensors", BaseModel.SD15, "SD15", True)
    assert main.main(["--models", str(tmp_path), "--out", str(tmp_path / "out"), "--size", "64"]) == 0
    rows = json.loads((tmp_path / "out" / "verify.json").read_text())["rows"]
    assert len(rows) == 3 and all(row["error"] is not None for row in rows)
    with capsys.disabled():
        print(
            "".join(f"\n  {row['adapter']:24} error {row['error']:.1e}  base {row['base_error']:.1e}" for row in rows)
        )


def test_a_prompt_at_two_scales():
    """InstantCharacter is verified with noise of the patches of two looks; its negative is the reference itself."""
    spec = transformers.adapter(character_weights(instant_character(5, 256))).spec
    (reference,) = prompts.prompt_for(spec, []).prompt.references
    assert [part.shape for part in reference.image.features] == [(1, times * 729, 128) for times in (1, 3, 4)]
    assert reference.image.negative is reference.image.features
