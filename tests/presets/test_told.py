"""What nodes tell before a run: kind, tokens, encoder and whether it is there, LoRA, licence or that none is stated."""

import pytest
from pack.ipadapter_core.checkpoint.enums import BaseModel
from pack.ipadapter_core.presets.catalogue import MEANINGS, Preset
from pack.ipadapter_core.presets.identify import known_adapters
from pack.ipadapter_core.presets.licences import LICENCES
from pack.ipadapter_core.presets.told import (
    NOT_STATED,
    known_encoders,
    told_of,
    told_of_preset,
)
from pack.tools.miniature.hollow_file import hollow_file
from pack.tools.miniature.published_faces import PUBLISHED as FACES
from pack.tools.miniature.published_shapes import PUBLISHED as SHAPES
from pack.tools.miniature.published_transformers import FILES as TRANSFORMERS

pytestmark = pytest.mark.faces

VISION = "vision_model."
SIZES = {"h": (1280, 32, 257, 1024), "g": (1664, 48, 257, 1280), "l336": (1024, 24, 577, 768)}


@pytest.fixture
def encoders(tmp_path):
    """Three image encoders, the last of them broken."""
    for name, (hidden, layers, positions, pooled) in SIZES.items():
        hollow_file(tmp_path / f"{name}.safetensors", {
            f"{VISION}embeddings.position_embedding.weight": (positions, hidden),
            "visual_projection.weight": (pooled, hidden),
            f"{VISION}encoder.layers.{layers - 1}.layer_norm1.weight": (hidden,),
        })  # fmt: skip
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    return {path.stem: path for path in sorted(tmp_path.iterdir())}


@pytest.mark.parametrize(
    ("shapes", "said", "fits", "node"),
    [
        (
            SHAPES["ip-adapter_sd15"].shapes,
            ["SD1.5, base", "4 image tokens", "there: h"],
            ["h"],
            "Encode Reference Image",
        ),
        (SHAPES["ip-adapter_sdxl"].shapes, ["SDXL, base", "there: g"], ["g"], "Encode Reference Image"),
        (FACES["kolors_plus"][0], ["Kolors", "there: l336"], ["l336"], "Encode Reference Image"),
        (FACES["faceid_sd15"][0], ["SD1.5, FaceID", "a LoRA of rank 128 inside"], None, "Encode Face"),
        (FACES["plusv2_sd15"][0], ["SD1.5, FaceID Plus", "there: h", "LoRA of rank 128"], ["h"], "Encode Face"),
        (TRANSFORMERS["LuciferTC"][0], ["Anima", "image encoder: SigLIP2-base-512"], None, "Encode Reference Image"),
    ],
    ids=["base", "vit-G", "Kolors", "FaceID", "FaceID Plus", "Anima"],
)
def test_what_an_adapter_tells(tmp_path, encoders, shapes, said, fits, node):
    """In words and as data; an encoder is said to be there only where its sizes tell it from others."""
    path = hollow_file(tmp_path / "adapter.safetensors", shapes)
    told = told_of(path, known_encoders(encoders))
    assert all(part in told.text for part in said), told.text
    assert (told.encoders, told.node) == (fits, node) and told.text.startswith(told.kind)
    assert ("there:" in told.text) == (fits is not None)


def test_an_encoder_that_is_not_there(tmp_path, encoders):
    """Its address and its folder; no word of an encoder where only a run shows which one it is."""
    path = hollow_file(tmp_path / "adapter.safetensors", SHAPES["ip-adapter_sd15"].shapes)
    told = told_of(path, known_encoders({"g": encoders["g"]}))
    assert told.encoders == [] and "not in models/clip_vision: https://huggingface.co/h94/IP-Adapter/" in told.text
    assert told_of(encoders["h"], {}) is None and told_of(encoders["broken"], {}) is None


def test_a_licence_is_stated_or_not_guessed(tmp_path):
    """What the table of licences says, for published names alone; for everything else that it is not stated."""
    shapes = SHAPES["ip-adapter_sd15"].shapes
    names = ("ip-adapter_sd15", "my adapter", "ip_plus_composition_sd15")  # of the last one's nobody has read
    files = [hollow_file(tmp_path / f"{name}.safetensors", shapes) for name in names]
    own, *others = (told_of(file, {}).text.splitlines()[-1] for file in files)
    assert own == f"licence: {LICENCES['h94/IP-Adapter']} (h94/IP-Adapter)" and others == [NOT_STATED, NOT_STATED]


def test_a_file_of_no_preset_has_its_licence_and_both_encoders(tmp_path):
    """InstantCharacter under its published name; which encoders it takes, without a guess at their files."""
    path = hollow_file(tmp_path / "instantcharacter_ip-adapter.safetensors", TRANSFORMERS["InstantCharacter"][0])
    told = told_of(path, {})
    assert told.encoders is None and "image encoder: SigLIP-so400m-384 and DINOv2-giant" in told.text
    assert told.text.splitlines()[-1] == "licence: academic use only (Tencent/InstantCharacter)"


def test_what_a_preset_tells(tmp_path, encoders):
    """For each base model the file that it would take, with its encoder, or what to download."""
    folder = tmp_path / "adapters"
    folder.mkdir()
    names = ("zz", "ip-adapter-faceid-plusv2_sd15", "a v2")
    paths = [hollow_file(folder / f"{name}.safetensors", FACES["plusv2_sd15"][0]) for name in names]
    told = told_of_preset(Preset.FACEID_PLUS_V2, known_adapters(paths), known_encoders(encoders))
    first, second, *_ = told.splitlines()
    assert first == "SD1.5: ip-adapter-faceid-plusv2_sd15.safetensors, a LoRA of rank 128 inside"
    assert second == "there: h"
    missing = MEANINGS[Preset.FACEID_PLUS_V2].files[BaseModel.SDXL]
    assert told.splitlines()[-1] == f"SDXL: no file yet: {missing}"
