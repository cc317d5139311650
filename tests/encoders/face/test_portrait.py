"""What PuLID reads of a face: one detection for identity and crop, the face alone in grey on white, EVA02-CLIP's states."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pack.ipadapter_core.encoders.eva_clip import eva_from_weights, fitted
from pack.ipadapter_core.encoders.face.encode import FaceOptions, MultiFaceMode, encode_faces
from pack.ipadapter_core.encoders.face.portrait import BESIDE, TEMPLATE, aligned_face, face_alone
from pack.ipadapter_core.encoders.face.selection import Choice, FaceOrder
from pack.ipadapter_core.encoders.hugging_face import CLIP_MEAN, CLIP_STD
from pack.ipadapter_core.errors import EncoderMismatchError, FaceAnalysisError
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.hooks.wrappers import applications_of
from pack.ipadapter_core.prompt.files import load_prompt, save_prompt
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.recorded_passes import WIDTH, short_model
from pack.tools.miniature.eva_clip import stated, tiny_eva
from pack.tools.miniature.faces import tiny_encoder
from pack.tools.miniature.models import widths_of
from pack.tools.miniature.pulid import id_former, pulid_flux
from pack.tools.miniature.pulid_sdxl import id_encoder, pulid_v1, pulid_v1_1
from pack.tools.miniature.transformers import adapter, relative, tiny_transformer, weights_of
from PIL import Image
from torchvision.transforms.functional import InterpolationMode, resize

pytestmark = [pytest.mark.adapters, pytest.mark.faces]

SHAPES = pulid_flux(2, 256, former=id_former(64, condition=544, look=128))


class Analysis:
    """A face analysis that knows where faces are: as many as the image's first pixel says, and a parser for bright pixels."""

    def __init__(self, parser=True):
        self.det_model = SimpleNamespace(input_size=(640, 640))
        self.parser = SimpleNamespace(classes=lambda crop: torch.where(crop.mean(-1) > 0.5, 17, 16)) if parser else None
        self.recognition = SimpleNamespace(file="glintr100.onnx")

    def get(self, picture):
        return [face(number) for number in range(int(picture[0, 0, 2]))]


def face(number):
    """A face of the template's shape, smaller and further right with each number."""
    points = TEMPLATE.numpy() * 0.2 + (110 * number, 10)
    box = np.array([points[:, 0].min(), 20.0, points[:, 0].max() - number, 100.0])
    return SimpleNamespace(bbox=box, kps=points, det_score=0.9, embedding=np.arange(512, dtype=np.float32) + 9 * number)


def picture(faces, height=128, width=256):
    pixels = torch.rand(1, height, width, 3, generator=torch.Generator().manual_seed(1))
    pixels[0, 0, 0, 0] = faces / 255
    return pixels


@pytest.fixture(scope="module")
def spec():
    return adapter(weights_of(SHAPES)).spec


@pytest.fixture(scope="module")
def encoder():
    return eva_from_weights(tiny_eva(), "eva.pt")


def test_the_features_of_a_face(spec, encoder, capsys):
    """The raw identity beside the pooled face of length one; the five states; zeros for the negative."""
    pixels, weights = picture(1), tiny_eva()
    found = encode_faces(spec, Analysis(), encoder, pixels, FaceOptions())
    (reference,) = found.prompt.references
    condition, *states = reference.image.features
    crop = aligned_face(pixels[0], torch.as_tensor(face(0).kps).float())
    grey = (crop * torch.tensor((0.299, 0.587, 0.114))).sum(-1, keepdim=True).expand(-1, -1, 3)
    alone = torch.where((crop.mean(-1, keepdim=True) > 0.5), grey, torch.ones(()))
    assert torch.equal(found.crops[0], alone)
    size = [encoder.image_size] * 2
    planes = resize(alone.movedim(-1, 0).unsqueeze(0), size, InterpolationMode.BICUBIC, antialias=True)
    normal = (planes - torch.tensor(CLIP_MEAN).view(3, 1, 1)) / torch.tensor(CLIP_STD).view(3, 1, 1)
    wanted = stated(weights, normal)
    assert torch.equal(condition[0, :512], torch.from_numpy(face(0).embedding))
    errors = [relative(condition[:, 512:] - wanted.pooled / wanted.pooled.norm(), torch.ones(1))]
    errors += [relative(one - wanted.states[:, number], wanted.states[:, number]) for number, one in enumerate(states)]
    with capsys.disabled():
        print(f"\n  a face's features: worst error {max(errors):.1e}")
    assert len(states) == 5 and max(errors) <= 5e-6
    assert not any(part.any() for part in reference.image.negative)
    assert [one.shape for one in reference.image.negative] == [one.shape for one in reference.image.features]
    assert "trained with antelopev2 (glintr100.onnx); these faces are known by glintr100.onnx" in found.report


def test_the_aligned_face_of_large_and_small_pictures():
    """The template's points come to their places; the same face in an image of twice the size is the same crop."""
    noise = torch.rand(1, 3, 12, 14, generator=torch.Generator().manual_seed(1))
    small = torch.nn.functional.interpolate(noise, (600, 700), mode="bicubic")[0].movedim(0, -1).clamp(0, 1)
    same = aligned_face(small, TEMPLATE)
    assert same.shape == (512, 512, 3) and torch.allclose(same, small[:512, :512], atol=1e-4)
    away = aligned_face(small, TEMPLATE - 3000)
    assert torch.allclose(away, BESIDE.expand_as(away), atol=1e-6)
    large = torch.nn.functional.interpolate(small.movedim(-1, 0)[None], (1200, 1400), mode="bilinear")[0].movedim(0, -1)
    assert float((aligned_face(large, 2 * TEMPLATE) - same).abs().max()) < 0.02


def test_several_people(spec, encoder, tmp_path):
    """Each a reference of its own; a mean is the mean of every part; a saved prompt comes back; a skipped place is silent."""
    everybody = FaceOptions(Choice(FaceOrder.ALL))
    people = encode_faces(spec, Analysis(), encoder, picture(2), everybody).prompt
    assert len(people.references) == 2
    mean = encode_faces(spec, Analysis(), encoder, picture(2), everybody._replace(several=MultiFaceMode.AVERAGE_ALL))
    for part, *each in zip(mean.prompt.references[0].image.features, *(one.image.features for one in people.references),
                           strict=True):  # fmt: skip
        assert torch.allclose(part, torch.stack(each).mean(0))
    save_prompt(people, tmp_path / "people.safetensors")
    again = load_prompt(tmp_path / "people.safetensors")
    for one, other in zip(again.references, people.references, strict=True):
        assert all(torch.equal(*pair) for pair in zip(one.image.features, other.image.features, strict=True))
    both = encode_faces(spec, Analysis(), encoder, torch.cat((picture(1), picture(0))), FaceOptions()).prompt
    model = apply_image_prompt(tiny_transformer("FLUX"), adapter(weights_of(SHAPES)), both, Strength(), per_frame=True)
    (application,) = applications_of(model.model_options["transformer_options"])
    value = application.placed(torch.device("cpu"), torch.float32)[0].value
    assert value[0].any() and not value[1].any()


@pytest.mark.parametrize("release", [pulid_v1, pulid_v1_1])
def test_the_same_face_for_sdxl(encoder, release):
    """Both releases read what FLUX.1's reads; an image without a face is silent in a batch, not NaN."""
    model = short_model()
    reader = (id_encoder if release is pulid_v1 else id_former)(WIDTH, condition=544, look=128)
    ip_adapter = adapter(weights_of(release(widths_of(model), WIDTH, reader)))
    given = torch.cat((picture(1), picture(0)))
    prompt = encode_faces(ip_adapter.spec, Analysis(), encoder, given, FaceOptions()).prompt
    patched = apply_image_prompt(model, ip_adapter, prompt, Strength(), per_frame=True)
    (application,) = applications_of(patched.model_options["transformer_options"])
    value = application.placed(torch.device("cpu"), torch.float32)[0].value
    assert value[0].any() and not value[1].any() and torch.isfinite(value).all()


@pytest.mark.parametrize(
    ("parser", "eva", "error", "said"),
    [
        (False, True, FaceAnalysisError, "no face parser.*parsing_bisenet.pth.*models/facexlib"),
        (
            True,
            None,
            EncoderMismatchError,
            "needs hidden states of width 128, found no image encoder.*EVA02_CLIP_L_336",
        ),
        (True, False, EncoderMismatchError, "found another image encoder.*Load Image Encoder"),
        (True, {"width": 192}, EncoderMismatchError, "found an EVA02-CLIP of 10 places of width 192"),
        (True, {"pooled": 48}, EncoderMismatchError, "identity and pooled face are 560 numbers, .* needs 544"),
    ],
)
def test_what_is_missing_is_named(spec, encoder, parser, eva, error, said):
    """A parser, an encoder, the right encoder."""
    others = {True: lambda: encoder, None: lambda: None, False: tiny_encoder}
    made = eva_from_weights(tiny_eva(**eva), "eva.pt") if isinstance(eva, dict) else others[eva]()
    with pytest.raises(error, match=said):
        encode_faces(spec, Analysis(parser), made, picture(1), FaceOptions())


def test_face_alone_is_grey_on_white():
    """Background classes become white; the rest has one colour in three channels. Resizing does not clip."""
    crop = torch.rand(8, 8, 3)
    labels = torch.arange(64).view(8, 8) % 19
    seen = face_alone(crop, SimpleNamespace(parser=SimpleNamespace(classes=lambda _: labels)))
    beside = sum(labels == number for number in (0, 7, 8, 9, 14, 15, 16, 18)).bool()
    assert (seen[beside] == 1).all() and bool((seen[~beside] < 1).all())
    by_pillow = np.array(Image.fromarray((crop.numpy() * 255).round().astype(np.uint8)).convert("L")) / 255
    assert np.abs(seen[..., 0].numpy() - by_pillow)[~beside.numpy()].max() < 0.01
    edges = torch.zeros(1, 8, 8, 3)
    edges[:, :, 4:] = 1
    assert float(fitted(edges, 32).max()) > 1
