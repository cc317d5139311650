"""From images of people to an image prompt: which face, what of it, and what happens where there is none."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pack.ipadapter_core.checkpoint import face_formats
from pack.ipadapter_core.encoders.clip_vision import EncodeOptions, encode_references
from pack.ipadapter_core.encoders.face.encode import FaceOptions, MultiFaceMode, PlusVersion, encode_faces
from pack.ipadapter_core.encoders.face.geometry import TEMPLATE, aligned_crop, square_crop
from pack.ipadapter_core.encoders.face.preview import draw_faces
from pack.ipadapter_core.encoders.face.selection import Choice, FaceOrder, NoFace, choose, sources
from pack.ipadapter_core.encoders.features import zero_pixel_features
from pack.ipadapter_core.errors import EncoderMismatchError, FaceAnalysisError, ImagePromptError
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.hooks.wrappers import applications_of
from pack.ipadapter_core.sampling.strength import Strength
from pack.tools.miniature.faces import PICTURE, loaded, tiny_encoder, weights_of
from pack.tools.miniature.models import tiny_model, widths_of

pytestmark = pytest.mark.faces


class FakeInsightFace:
    """Another pack's INSIGHTFACE object: an image's first pixel says how many faces it shows."""

    def __init__(self):
        self.det_model = SimpleNamespace(input_size=(640, 640))

    def get(self, picture):
        return [face(n) for n in range(int(picture[0, 0, 2]))]


def face(number, width=40.0):
    """A face further right and smaller with each number, its identity pointing along axis `number`."""
    left = 20.0 + 60 * number
    embedding = np.zeros(512, np.float32)
    embedding[number] = 3.0 + number
    box = np.array([left, 30.0, left + width - 5 * number, 30.0 + width - 5 * number])
    return SimpleNamespace(bbox=box, kps=TEMPLATE.numpy() * 0.35 + (left, 30), det_score=0.5 + 0.1 * number,
                           embedding=embedding, normed_embedding=embedding / (3.0 + number))  # fmt: skip


def pictures_with(*counts):
    """Images (B, 96, 240, 3) of noise that show so many faces each."""
    pictures = torch.rand(len(counts), 96, 240, 3, generator=torch.Generator().manual_seed(1))
    for number, count in enumerate(counts):
        pictures[number, 0, 0, 0] = count / 255
    return pictures


def adapter_of(kind, folder, base="SD1.5", name="tiny.safetensors"):
    return loaded(weights_of(kind, widths_of(tiny_model(base)), 96), folder, name)


def identities(prompt):
    """The axis along which each reference's identity points, None for a silent one."""
    parts = [one.image.features for one in prompt.references]
    vectors = [part if isinstance(part, torch.Tensor) else part[0] for part in parts]
    return [int(one.argmax()) if one.any() else None for one in vectors]


@pytest.mark.parametrize(
    ("pick", "index", "expected"),
    [
        (FaceOrder.LARGEST, 0, [0]), (FaceOrder.LARGEST, 2, [2]),
        (FaceOrder.CENTRAL, 0, [1]), (FaceOrder.LEFT_TO_RIGHT, 1, [1]),
        (FaceOrder.HIGHEST_CONFIDENCE, 0, [2]), (FaceOrder.ALL, 0, [0, 1, 2]), (FaceOrder.LARGEST, 3, [None]),
    ],
)  # fmt: skip
def test_the_picker(tmp_path, pick, index, expected):
    """Faces 0, 1 and 2 stand left to right, shrink to the right, and grow surer; the middle of the image is near 1."""
    options = FaceOptions(Choice(pick, index))
    found = encode_faces(adapter_of("FaceID", tmp_path).spec, FakeInsightFace(), None, pictures_with(3), options)
    assert identities(found.prompt) == expected


def test_boxes_are_drawn_with_the_taken_one_in_green():
    """On a copy."""
    picture = torch.zeros(96, 240, 4)
    chosen = choose([face(0), face(1)], Choice(FaceOrder.LEFT_TO_RIGHT, 1), (96, 240))
    drawn = draw_faces(picture, chosen)
    assert drawn.shape == (96, 240, 3)
    assert not picture.any()
    assert torch.equal((drawn[50, 20] * 255).round(), torch.tensor((160.0, 160.0, 160.0)))
    assert torch.equal((drawn[50, 80] * 255).round(), torch.tensor((60.0, 220.0, 90.0)))


def test_a_batch_with_a_missing_face(tmp_path):
    """Skip keeps a silent place, repeat takes the face before, fail names the images."""
    spec = adapter_of("FaceID", tmp_path).spec
    pictures = pictures_with(0, 2, 0, 1, 0)

    def encoded(no_face):
        return encode_faces(spec, FakeInsightFace(), None, pictures, FaceOptions(Choice(FaceOrder.LARGEST, 0, no_face)))

    skipped, repeated = encoded(NoFace.SKIP), encoded(NoFace.REPEAT)
    assert [one.weight for one in skipped.prompt.references] == [0, 1, 0, 1, 0]
    assert "no face, without effect: 0, 2, 4" in skipped.report
    assert identities(repeated.prompt) == [0] * 5
    assert "no face, repeated: 0 (as 1), 2 (as 1), 4 (as 3)" in repeated.report
    with pytest.raises(FaceAnalysisError, match=r"no face in 3 of 5 images \(numbers 0, 2, 4"):
        encoded(NoFace.FAIL)
    assert sources([False, False], NoFace.SKIP) == [None, None]
    with pytest.raises(FaceAnalysisError, match="no face in 2 of 2"):
        sources([False, False], NoFace.REPEAT)


def test_a_skipped_frame_has_no_effect_and_keeps_its_place(tmp_path):
    """A face for each frame: the frame without one gets values of zero, the others their own."""
    adapter = adapter_of("FaceID", tmp_path)
    found = encode_faces(
        adapter.spec, FakeInsightFace(), None, pictures_with(1, 0, 2), FaceOptions(Choice(FaceOrder.HIGHEST_CONFIDENCE))
    )
    model = apply_image_prompt(tiny_model(), adapter, found.prompt, Strength(), per_frame=True)
    (application,) = applications_of(model.model_options["transformer_options"])
    value = application.placed(torch.device("cpu"), torch.float32)[0].value
    assert value.shape[:2] == (3, 2)
    assert not value[1].any()
    assert value[0].any() and value[2].any() and not torch.equal(value[0, 1], value[2, 1])
    together = apply_image_prompt(tiny_model(), adapter, found.prompt, Strength())
    (application,) = applications_of(together.model_options["transformer_options"])
    assert len(application.banks) == 2
    nobody = encode_faces(adapter.spec, FakeInsightFace(), None, pictures_with(0, 0), FaceOptions())
    silent = apply_image_prompt(tiny_model(), adapter, nobody.prompt, Strength(), per_frame=True)
    assert not applications_of(silent.model_options["transformer_options"])


def test_several_faces(tmp_path):
    """Each a reference, or the mean of an image or of all; a mean of normalised identities has length one again."""
    spec = adapter_of("Portrait", tmp_path).spec

    def encoded(several):
        options = FaceOptions(Choice(FaceOrder.ALL), several)
        return encode_faces(spec, FakeInsightFace(), None, pictures_with(2, 1), options).prompt.references

    assert len(encoded(MultiFaceMode.CONCATENATE)) == 3
    first, second = encoded(MultiFaceMode.AVERAGE_PICTURE)
    assert torch.allclose(first.image.features[0, :2], torch.full((2,), 0.5**0.5))
    assert torch.allclose(second.image.features[0, 0], torch.tensor(1.0))
    (one,) = encoded(MultiFaceMode.AVERAGE_ALL)
    assert torch.allclose(one.image.features[0, :2], torch.tensor((2.0, 1.0)) / 5**0.5)
    raw = encode_faces(adapter_of("Portrait unnorm", tmp_path).spec, FakeInsightFace(), None, pictures_with(2),
                       FaceOptions(Choice(FaceOrder.ALL), MultiFaceMode.AVERAGE_ALL)).prompt.references[0]  # fmt: skip
    assert torch.allclose(raw.image.features[0, :2], torch.tensor((1.5, 2.0)))


def test_portrait_unnorm_and_instantid_are_alike_and_that_is_said(tmp_path):
    """Same tensors, same equations; only the recognition model that each was trained with differs."""
    spec = adapter_of("Portrait unnorm", tmp_path, name="renamed.safetensors").spec
    report = encode_faces(spec, FakeInsightFace(), None, pictures_with(1), FaceOptions()).report
    assert "renamed.safetensors does not say whether it is FaceID Portrait unnorm" in report
    assert "antelopev2" in report and "known by another pack's face analysis" in report
    named = FakeInsightFace()
    named.recognition = SimpleNamespace(file="glintr100.onnx")
    assert "known by glintr100.onnx" in encode_faces(spec, named, None, pictures_with(1), FaceOptions()).report
    other = adapter_of("Portrait", tmp_path).spec
    assert "does not say" not in encode_faces(other, FakeInsightFace(), None, pictures_with(1), FaceOptions()).report


def test_plus_reads_identity_and_the_aligned_face(tmp_path):
    """The encoder sees the crop of 224; the negative is nobody and the image of nothing."""
    spec, encoder = adapter_of("FaceID Plus", tmp_path).spec, tiny_encoder()
    picture = pictures_with(1)
    found = encode_faces(spec, FakeInsightFace(), encoder, picture, FaceOptions())
    image = found.prompt.references[0].image
    crop = aligned_crop(picture[0], torch.from_numpy(face(0).kps).float(), 224).clamp(0, 1)
    assert torch.allclose(found.crops[0], crop, atol=1e-6)
    seen = encode_references_hidden(encoder, crop.unsqueeze(0))
    assert torch.allclose(image.features[1], seen, atol=1e-5)
    assert image.features[1].shape == (1, 17, PICTURE)
    assert not image.negative[0].any()
    assert torch.allclose(image.negative[1], zero_pixel_features(encoder))
    with pytest.raises(EncoderMismatchError, match="needs an image encoder, none is connected"):
        encode_faces(spec, FakeInsightFace(), None, picture, FaceOptions())
    with pytest.raises(EncoderMismatchError, match="width 48, one for each patch, but .* needs width 64"):
        encode_faces(spec, FakeInsightFace(), tiny_encoder(48), picture, FaceOptions())


def encode_references_hidden(encoder, pictures):
    from pack.ipadapter_core.encoders.preprocess import Preprocessing, pixels_for
    from pack.ipadapter_core.images.fit import ResizeMode

    return encoder.encode_image(
        pixels_for(encoder, pictures, Preprocessing(ResizeMode.CENTER, None)), crop=False
    ).penultimate_hidden_states


def test_kolors_follows_its_own_code(tmp_path, monkeypatch):
    """The raw identity, the square around the box at the encoder's size, and zeros for the negative's features."""
    monkeypatch.setattr(face_formats, "KOLORS_TEXT_WIDTH", 192)
    spec, encoder = adapter_of("Kolors FaceID Plus", tmp_path, "SDXL").spec, tiny_encoder()
    assert spec.base.value == "Kolors"
    picture = pictures_with(1)
    found = encode_faces(spec, FakeInsightFace(), encoder, picture, FaceOptions())
    image = found.prompt.references[0].image
    assert image.features[0][0, 0] == 3.0
    assert not image.negative[0].any() and not image.negative[1].any()
    assert torch.equal(image.features[2], torch.tensor([[1.0, 1.0]]))
    square = square_crop(picture[0], (20.0, 30.0, 60.0, 70.0))
    assert square.shape == (40, 40, 3)
    assert found.crops.shape == (1, 56, 56, 3)
    assert torch.allclose(image.features[1], encode_references_hidden(encoder, square.unsqueeze(0)), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "version", "expected", "said"),
    [
        ("a.safetensors", PlusVersion.AUTO, (0.0, 1.0), "v1: the file name does not say v2"),
        ("ip-adapter-faceid-plusv2_sd15.bin", PlusVersion.AUTO, (1.0, 0.6), "v2: the file name says v2"),
        ("ip-adapter-faceid-plusv2_sd15.bin", PlusVersion.V1, (0.0, 1.0), "v1: as chosen"),
        ("a.safetensors", PlusVersion.V2, (1.0, 0.6), "v2: as chosen"),
    ],
)
def test_plus_version(tmp_path, name, version, expected, said):
    """The one thing that a file's tensors do not say."""
    from dataclasses import replace

    spec = replace(adapter_of("FaceID Plus", tmp_path).spec, file=name)
    options = FaceOptions(version=version, structure=0.6)
    found = encode_faces(spec, FakeInsightFace(), tiny_encoder(), pictures_with(1), options)
    assert torch.allclose(found.prompt.references[0].image.features[2], torch.tensor([expected]))
    assert said in found.report


def test_the_right_encode_node_is_named(tmp_path):
    """A face adapter in the plain node and the other way round, and prompts of one kind in another adapter."""
    plain = pictures_with(1)
    for kind, node in (("FaceID", "Encode Face"), ("Instruct", "Encode Instructed Image")):
        with pytest.raises(EncoderMismatchError, match=f"use {node} instead of Encode Reference Image"):
            encode_references(adapter_of(kind, tmp_path).spec, tiny_encoder(), plain, EncodeOptions())
    with pytest.raises(ImagePromptError, match="use Encode Reference Image instead of Encode Face"):
        encode_faces(adapter_of("Art", tmp_path).spec, FakeInsightFace(), None, plain, FaceOptions())
    prompt = encode_faces(adapter_of("FaceID", tmp_path).spec, FakeInsightFace(), None, plain, FaceOptions()).prompt
    with pytest.raises(ImagePromptError, match="normed_embedding and picture"):
        apply_image_prompt(tiny_model(), adapter_of("FaceID Plus", tmp_path), prompt, Strength())
    with pytest.raises(EncoderMismatchError, match="makes no style_embeds.*with Load Image Encoder"):
        encode_references(adapter_of("Art", tmp_path).spec, tiny_encoder(), plain, EncodeOptions())
