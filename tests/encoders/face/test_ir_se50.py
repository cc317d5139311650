"""ArcFace IR-SE50 against its equations, its file among others, and identities that only it may give."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pack.ipadapter_core.checkpoint.enums import Feature
from pack.ipadapter_core.encoders.face.analysis import load_analysis
from pack.ipadapter_core.encoders.face.encode import FaceOptions, MultiFaceMode, encode_faces
from pack.ipadapter_core.encoders.face.geometry import TEMPLATE
from pack.ipadapter_core.encoders.face.ir_se50 import IRSE50, SecondRecogniser, find_second_recogniser
from pack.ipadapter_core.encoders.face.onnx_session import Provider
from pack.ipadapter_core.encoders.face.selection import Choice, FaceOrder
from pack.ipadapter_core.errors import FaceAnalysisError, ImagePromptError
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.sampling.strength import Strength
from pack.tests.oracles.families import world
from pack.tools.miniature.face_analysis import face_models
from pack.tools.miniature.face_parser import parser_weights
from pack.tools.miniature.ir_se50 import PUBLISHED, recogniser_shapes, recogniser_weights, stated_identity
from safetensors.torch import save_file
from skimage import data

pytestmark = [pytest.mark.adapters, pytest.mark.faces]

LIMIT = 5e-6


def picture(seed=2, side=150):
    return torch.rand(side, side, 3, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def recogniser(tmp_path):
    torch.save(recogniser_weights(), tmp_path / "recognition_arcface_ir_se50.pth")
    return SecondRecogniser(tmp_path / "recognition_arcface_ir_se50.pth")


def test_the_network_equals_the_equations(capsys):
    """In float32, of crops; the published file's shapes are the network's own, 43.8 million numbers."""
    weights, pixels = recogniser_weights(), torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    network = IRSE50(weights).eval()
    network.load_state_dict(weights)
    with torch.inference_mode():
        found = network(pixels)
    error = float((found - stated_identity(weights, pixels)).norm() / found.norm())
    with capsys.disabled():
        print(f"\n  IR-SE50 error {error:.1e}")
    assert found.shape == (2, 512) and error <= LIMIT
    shapes = recogniser_shapes(PUBLISHED, squeeze=16)
    with torch.device("meta"):
        published = IRSE50({key: torch.empty(shape) for key, shape in shapes.items()})
    assert {key: tuple(one.shape) for key, one in published.state_dict().items()} == shapes
    assert sum(torch.Size(shape).numel() for shape in shapes.values()) / 1e6 == pytest.approx(43.8, abs=0.05)


def test_what_it_sees_of_a_face(recogniser):
    """A face that stands where the template has it is cut out as it is: RGB in, BGR from -1 to 1 at 112 pixels seen."""
    image = picture(side=112)
    wanted = stated_identity(recogniser_weights(), (image.flip(-1) * 2 - 1).movedim(-1, 0).unsqueeze(0))[0]
    found = recogniser.identity(image, TEMPLATE)
    assert float((found - wanted).norm()) <= LIMIT
    moved = recogniser.identity(
        torch.nn.functional.pad(image, (0, 0, 20, 18, 11, 27)), TEMPLATE + torch.tensor((20.0, 11.0))
    )
    assert float((moved - wanted).norm()) <= 1e-4
    assert torch.equal(pickle.loads(pickle.dumps(recogniser)).identity(image, TEMPLATE), found)


@pytest.mark.parametrize("name", ["recognition_arcface_ir_se50.pth", "renamed.safetensors", "faces.pt"])
def test_files_of_each_container(name, tmp_path):
    """Found among others by its keys."""
    torch.save(parser_weights(), tmp_path / "a_parsing_bisenet.pth")
    (tmp_path / "arcface.onnx").write_bytes(b"nothing")
    assert find_second_recogniser(tmp_path.iterdir()) is None
    weights = recogniser_weights()
    torch.save(weights, tmp_path / name) if name[-3:] != "ors" else save_file(weights, tmp_path / name)
    found = find_second_recogniser(tmp_path.iterdir())
    assert found is not None and found.path.name == name


@pytest.mark.parametrize(
    ("lost", "given"),
    [("body.2.shortcut_layer.1.running_var", None), ("output_layer.3.weight", torch.zeros(512, 7))],
)
def test_a_damaged_file_is_named(lost, given, tmp_path):
    """What is lost or does not fit, and where to get the file."""
    weights = recogniser_weights()
    del weights[lost]
    torch.save(weights if given is None else weights | {lost: given}, tmp_path / "cut.pth")
    with pytest.raises(
        FaceAnalysisError, match="cut.pth: found a damaged recogniser.*expected ArcFace IR-SE50.*facexlib"
    ):
        SecondRecogniser(tmp_path / "cut.pth").identity(picture(), TEMPLATE)


def test_the_analysis_of_a_folder_takes_it_along(tmp_path):
    """And says so."""
    folder = face_models(tmp_path / "buffalo_l", torch.from_numpy(data.astronaut()).float() / 255)
    torch.save(recogniser_weights(), tmp_path / "arcface.pth")
    loaded = load_analysis(folder, Provider.CPU, [tmp_path / "arcface.pth"])
    assert loaded.analysis.second.path.name == "arcface.pth" and "arcface.pth knows faces for Lynx" in loaded.report
    assert load_analysis(folder, Provider.CPU).analysis.second is None


def analysis_with(second):
    """An analysis that finds two faces."""
    faces = [
        SimpleNamespace(bbox=[8.0, 8.0, 90.0, 90.0], kps=TEMPLATE.numpy() + shift, det_score=0.9,
                        embedding=np.ones(512, np.float32), normed_embedding=np.ones(512, np.float32) / 512**0.5)
        for shift in (0.0, 9.0)
    ]  # fmt: skip
    return SimpleNamespace(det_model=SimpleNamespace(input_size=(640, 640)), get=lambda _: faces, second=second)


def test_faces_for_lynx(recogniser):
    """The identity is IR-SE50's, its negative zeros; several average to length one; each is shown as it was seen."""
    spec = world("Wan Lynx lite").adapter.spec
    image = picture().unsqueeze(0)
    everybody = Choice(FaceOrder.ALL)
    found = encode_faces(spec, analysis_with(recogniser), None, image, FaceOptions(everybody))
    wanted = [recogniser.identity(image[0], TEMPLATE + shift) for shift in (0.0, 9.0)]
    for reference, one in zip(found.prompt.references, wanted, strict=True):
        assert torch.equal(reference.image.features, one.unsqueeze(0)) and not reference.image.negative.any()
    assert found.crops.shape == (2, 112, 112, 3)
    mean = encode_faces(spec, analysis_with(recogniser), None, image, FaceOptions(everybody, MultiFaceMode.AVERAGE_ALL))
    (only,) = mean.prompt.references
    direction = (wanted[0] + wanted[1]) / (wanted[0] + wanted[1]).norm()
    assert torch.allclose(only.image.features[0], direction, atol=1e-6)


def test_another_recogniser_is_an_error(recogniser):
    """Without the file, and with a prompt whose identities are another model's."""
    spec = world("Wan Lynx lite").adapter.spec
    for other in (
        analysis_with(None),
        SimpleNamespace(det_model=analysis_with(None).det_model, get=analysis_with(None).get),
    ):
        with pytest.raises(FaceAnalysisError, match="knows faces by ArcFace IR-SE50.*recognition_arcface_ir_se50.pth"):
            encode_faces(spec, other, None, picture().unsqueeze(0), FaceOptions())
    _, model, ip_adapter, prompt = world("Wan Lynx lite")
    for feature in (Feature.FACE, Feature.RAW_FACE):
        foreign = type(prompt)(prompt.references, feature, "face analysis (antelopev2)")
        with pytest.raises(ImagePromptError, match="needs IR-SE50 identity of width 512"):
            apply_image_prompt(model, ip_adapter, foreign, Strength())
