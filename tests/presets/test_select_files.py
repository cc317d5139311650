"""The preset loader finds files by what is in them, says why, and says what is missing."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pack.ipadapter_core.checkpoint.enums import BaseModel
from pack.ipadapter_core.checkpoint.headers import read_shapes
from pack.ipadapter_core.errors import CheckpointError, PresetError
from pack.ipadapter_core.presets.catalogue import MEANINGS, Preset
from pack.ipadapter_core.presets.identify import identify
from pack.ipadapter_core.presets.select_files import ModelSizes, select
from pack.tools.miniature.faces import affine, norm
from pack.tools.miniature.hollow_file import hollow_file
from pack.tools.miniature.published_faces import PUBLISHED, SD15, SDXL, layers, projector, resampler
from pack.tools.time_bars import slowness

pytestmark = pytest.mark.faces

MODELS = {"SD1.5": ModelSizes(tuple(SD15), 768), "SDXL": ModelSizes(tuple(SDXL), 2048),
          "Kolors": ModelSizes(tuple(SDXL), 2048, True)}  # fmt: skip


def base(feature, context):
    return projector({**affine("proj", 4 * context, feature), **norm("norm", context)})


def full_face():
    return projector({**affine("proj.0", 1280, 1280), **affine("proj.2", 768, 1280), **norm("proj.3", 768)})


PLUS15 = projector(resampler(768, 768, 1280, 768)) | layers(SD15, 768)
PLUSXL = projector(resampler(1280, 1280, 1280, 2048)) | layers(SDXL, 2048)
FILES = {  # preset and model -> shapes
    (Preset.STANDARD, "SD1.5"): base(1024, 768) | layers(SD15, 768),
    (Preset.STANDARD, "SDXL"): base(1024, 2048) | layers(SDXL, 2048),
    (Preset.VIT_G, "SD1.5"): base(1280, 768) | layers(SD15, 768),
    (Preset.VIT_G, "SDXL"): base(1280, 2048) | layers(SDXL, 2048),
    (Preset.PLUS, "SD1.5"): PLUS15,
    (Preset.PLUS, "SDXL"): PLUSXL,
    (Preset.FULL_FACE, "SD1.5"): full_face() | layers(SD15, 768),
    (Preset.FACEID, "SD1.5"): PUBLISHED["faceid_sd15"][0],
    (Preset.FACEID, "SDXL"): PUBLISHED["faceid_sdxl"][0],
    (Preset.FACEID_PLUS_V2, "SD1.5"): PUBLISHED["plusv2_sd15"][0],
    (Preset.FACEID_PLUS_V2, "SDXL"): PUBLISHED["plusv2_sdxl"][0],
    (Preset.PORTRAIT, "SD1.5"): PUBLISHED["portrait_sd15"][0],
    (Preset.PORTRAIT, "SDXL"): PUBLISHED["portrait_sdxl"][0],
    (Preset.PORTRAIT_UNNORM, "SDXL"): PUBLISHED["instantid"][0],
    (Preset.KOLORS, "Kolors"): PUBLISHED["kolors_plus"][0],
    (Preset.KOLORS_FACEID, "Kolors"): PUBLISHED["kolors_faceid"][0],
}
VISION = "vision_model."


def encoder(hidden, layers, positions, pooled):
    """The keys that tell a CLIP vision model, in Hugging Face's naming."""
    return {f"{VISION}embeddings.position_embedding.weight": (positions, hidden), "visual_projection.weight": (pooled, hidden),
            f"{VISION}encoder.layers.{layers - 1}.layer_norm1.weight": (hidden,)}  # fmt: skip


ENCODERS = {"h": encoder(1280, 32, 257, 1024), "g": encoder(1664, 48, 257, 1280), "l": encoder(1024, 24, 257, 768),
            "l336": encoder(1024, 24, 577, 768)}  # fmt: skip
NEEDS = {"base1024": "h", "base1280": "g"}


@pytest.fixture
def model_folders(tmp_path):
    """Every kind of file under a name that says nothing."""
    folder, vision = tmp_path / "ipadapter", tmp_path / "clip_vision"
    folder.mkdir()
    vision.mkdir()
    for number, shapes in enumerate(FILES.values()):
        hollow_file(folder / f"file{number:02}.safetensors", shapes)
    for number, shapes in enumerate(ENCODERS.values()):
        hollow_file(vision / f"model{number}.safetensors", shapes)
    (folder / "broken.safetensors").write_bytes(b"<html>not found</html>")
    hollow_file(folder / "a lora.safetensors", {"lora_unet_x.lora_up.weight": (4, 4)})
    return sorted(folder.iterdir()), sorted(vision.iterdir())


@pytest.mark.parametrize(("preset", "model"), FILES, ids=lambda part: getattr(part, "name", part))
def test_renamed_files_of_every_kind(model_folders, preset, model):
    """By structure alone: the right adapter each time, and the encoder that it reads."""
    found = select(preset, MODELS[model], *model_folders)
    assert found.adapter.name == f"file{list(FILES).index((preset, model)):02}.safetensors"
    if preset in (Preset.FACEID, Preset.PORTRAIT, Preset.PORTRAIT_UNNORM):
        assert found.encoder is None
    else:
        expected = "l336" if model == "Kolors" else "g" if preset is Preset.VIT_G else "h"
        assert found.encoder.name == f"model{list(ENCODERS).index(expected)}.safetensors"
    assert "by its tensors, the only one of this kind" in found.report
    faces = "FACEID" in preset.value
    assert found.face_models == (("antelopev2" if model == "Kolors" else "buffalo_l") if faces else None)


def test_names_rank_files_that_are_alike_inside(model_folders, tmp_path):
    """Plus, plus face and composition have the same tensors; so have light and standard, FaceID Plus and Plus V2."""
    alike = {
        Preset.PLUS: "ip-adapter-plus_sd15.safetensors", Preset.PLUS_FACE: "ip-adapter-plus-face_sd15.safetensors",
        Preset.COMPOSITION: "ip_plus_composition_sd15.safetensors",
    }  # fmt: skip
    paths = [hollow_file(tmp_path / name, PLUS15) for name in alike.values()]
    for preset, name in alike.items():
        found = select(preset, MODELS["SD1.5"], paths, model_folders[1])
        assert found.adapter.name == name
        assert "it has the published file's name, unlike" in found.report
    names = ("ip-adapter-faceid-plus_sd15.safetensors", "ip-adapter-faceid-plusv2_sd15.safetensors")
    paths = [hollow_file(tmp_path / name, PUBLISHED["plusv2_sd15"][0]) for name in names]
    assert select(Preset.FACEID_PLUS, MODELS["SD1.5"], paths, model_folders[1]).adapter.name == names[0]
    assert select(Preset.FACEID_PLUS_V2, MODELS["SD1.5"], paths, model_folders[1]).adapter.name == names[1]
    names = ("ip-adapter_sd15.safetensors", "ip-adapter_sd15_light_v11.safetensors")
    paths = [hollow_file(tmp_path / name, FILES[Preset.STANDARD, "SD1.5"]) for name in names]
    assert select(Preset.STANDARD, MODELS["SD1.5"], paths, model_folders[1]).adapter.name == names[0]
    assert select(Preset.LIGHT, MODELS["SD1.5"], paths, model_folders[1]).adapter.name == names[1]
    paths = [hollow_file(tmp_path / name, PLUS15) for name in ("x.safetensors", "y.safetensors")]
    assert (
        "its name says no more than y.safetensors: choose one in Load IP-Adapter"
        in select(Preset.PLUS, MODELS["SD1.5"], paths, model_folders[1]).report
    )


@pytest.mark.parametrize(("preset", "model"), FILES, ids=lambda part: getattr(part, "name", part))
@pytest.mark.parametrize("written", [str, str.upper], ids=["as published", "in capitals"])
def test_the_published_name_always_wins(model_folders, tmp_path, preset, model, written):
    """Over any other name of the same structure, however well that suits the preset's words, and in either container."""
    meaning = MEANINGS[preset]
    stem = Path(meaning.files[BaseModel(model)].saved_as).stem
    rivals = ["-".join((first, *meaning.wanted)) for first in ("a", "best", stem, "zz")] + [f"{stem} (1)", f"{stem}_v3"]
    rivals = [name for name in rivals if name != stem]
    for order in (1, -1):
        names = [*rivals, written(stem)][::order]
        paths = [hollow_file(tmp_path / f"{name}.safetensors", FILES[preset, model]) for name in names]
        found = select(preset, MODELS[model], paths, model_folders[1])
        assert found.adapter.stem == written(stem)
        assert "it has the published file's name, unlike" in found.report


def test_the_published_encoder_wins(model_folders, tmp_path):
    """Likewise among image encoders that are alike inside."""
    names = ("a.safetensors", "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors", "CLIP-ViT-H-14 (1).safetensors")
    paths = [hollow_file(tmp_path / name, ENCODERS["h"]) for name in names]
    for order in (1, -1):
        found = select(Preset.STANDARD, MODELS["SD1.5"], model_folders[0], paths[::order])
        assert found.encoder.name == names[1]


def test_what_is_missing_is_said(model_folders):
    """The file, the repository, the folder, and what is near; an encoder likewise; a preset that does not exist here."""
    adapters, encoders = model_folders
    without = [path for path in adapters if path.name != "file04.safetensors"]
    with pytest.raises(PresetError) as error:
        select(Preset.PLUS, MODELS["SD1.5"], without, encoders)
    message = str(error.value)
    assert "huggingface.co/h94/IP-Adapter/blob/main/models/ip-adapter-plus_sd15.safetensors" in message
    assert "into models/ipadapter/ip-adapter-plus_sd15.safetensors" in message
    assert "file05.safetensors (SDXL plus)" in message
    with pytest.raises(
        PresetError, match="needs the image encoder CLIP ViT-H.*found: model1.*bigG.*image_encoder/model"
    ):
        select(Preset.PLUS, MODELS["SD1.5"], adapters, encoders[1:])
    with pytest.raises(PresetError, match="exists for SD1.5 only, the model has 70"):
        select(Preset.FULL_FACE, MODELS["SDXL"], adapters, encoders)
    with pytest.raises(PresetError, match="exists for Kolors only, the model has 70"):
        select(Preset.KOLORS, MODELS["SDXL"], adapters, encoders)
    with pytest.raises(PresetError, match="near it: nothing"):
        select(Preset.KOLORS, MODELS["Kolors"], [], encoders)


def test_every_preset_names_a_file_for_each_model_it_is_for():
    """The table is complete."""
    assert set(MEANINGS) == set(Preset)
    assert all(meaning.files for meaning in MEANINGS.values())


def test_pytorch_files_are_read_without_their_contents(tmp_path):
    """Nested dictionaries of .bin files; the shapes are those of the safetensors file."""
    shapes = {"proj.weight": (3072, 1024), "proj.bias": (3072,), "norm.weight": (768,), "norm.bias": (768,)}
    attention = {key.removeprefix("ip_adapter."): shape for key, shape in layers(SD15, 768).items()}
    tree = {part: {key: torch.zeros(shape, dtype=torch.float16) for key, shape in group.items()}
            for part, group in (("image_proj", shapes), ("ip_adapter", attention))}  # fmt: skip
    torch.save(tree, tmp_path / "a.bin")
    torch.save(tree, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    expected = FILES[Preset.STANDARD, "SD1.5"]
    assert read_shapes(tmp_path / "a.bin") == read_shapes(tmp_path / "old.bin") == expected
    same = identify(hollow_file(tmp_path / "b.safetensors", expected)).spec
    assert identify(tmp_path / "a.bin").spec == replace(same, file="a.bin")
    (tmp_path / "c.bin").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(CheckpointError, match="c.bin: cannot be read"):
        read_shapes(tmp_path / "c.bin")
    assert identify(tmp_path / "c.bin").spec is None


def test_five_hundred_files_list_in_a_tenth_of_a_second_the_second_time(tmp_path, capsys, monkeypatch):
    """Only what changed is read again."""
    paths = [hollow_file(tmp_path / f"{number:03}.safetensors", PLUSXL) for number in range(500)]
    hollow_file(tmp_path / "vision.safetensors", ENCODERS["h"])
    times = []
    for _ in range(2):
        start = time.thread_time()
        select(Preset.PLUS, MODELS["SDXL"], paths, [tmp_path / "vision.safetensors"])
        times.append(time.thread_time() - start)
    with capsys.disabled():
        print(f"\n  500 files: first {times[0]:.2f} s, then {times[1]:.3f} s")
    assert times[1] < 0.1 * slowness()
    reads = []
    original = identify.function
    monkeypatch.setattr(identify, "function", lambda path: reads.append(path) or original(path))
    hollow_file(paths[7], PLUS15)
    select(Preset.PLUS, MODELS["SDXL"], paths, [tmp_path / "vision.safetensors"])
    assert reads == [paths[7]]


def test_openai_names_of_an_encoder_are_known(tmp_path):
    """OpenCLIP's naming has the projection the other way round."""
    shapes = {"visual.positional_embedding": (257, 1280), "visual.proj": (1280, 1024),
              "visual.transformer.resblocks.31.ln_1.weight": (1280,)}  # fmt: skip
    known = identify(hollow_file(tmp_path / "h.safetensors", ENCODERS["h"])).encoder
    assert known is not None and identify(hollow_file(tmp_path / "o.safetensors", shapes)).encoder == known
    assert identify(hollow_file(tmp_path / "x.safetensors", {"a": (1,)})).encoder is None
