"""The face parser against its equations, from files of every kind, and which of many files is one."""

import pickle

import pytest
import torch
from pack.ipadapter_core.encoders.face.onnx_session import Provider
from pack.ipadapter_core.encoders.face.parser import MEAN, STD, BiSeNet, FaceParser, find_parser
from pack.ipadapter_core.errors import FaceAnalysisError
from pack.tools.miniature import onnx as tiny_onnx
from pack.tools.miniature.face_parser import WIDTH, onnx_parser, parser_weights, stated_scores
from safetensors.torch import save_file

pytestmark = [pytest.mark.adapters, pytest.mark.faces]


def crop(side=64):
    return torch.rand(side, side, 3, generator=torch.Generator().manual_seed(2))


def normalised(picture):
    return ((picture - torch.tensor(MEAN)) / torch.tensor(STD)).movedim(-1, 0).unsqueeze(0)


def test_bisenet_equals_the_equations(capsys):
    """ResNet18 is torchvision's."""
    weights = parser_weights()
    network = BiSeNet(WIDTH).eval()
    network.load_state_dict({key: one for key, one in weights.items() if "out16" not in key and "out32" not in key})
    with torch.inference_mode():
        found = network(normalised(crop()))
    wanted = stated_scores(weights, normalised(crop()))
    error = float(((found - wanted).norm() / wanted.norm()).detach())
    with capsys.disabled():
        print(f"\n  BiSeNet error {error:.1e}")
    assert found.shape == (1, 19, 64, 64) and error <= 5e-6


@pytest.mark.parametrize("name", ["parsing_bisenet.pth", "renamed.safetensors", "faces.pt"])
def test_files_of_each_container(name, tmp_path):
    """Found among others by its keys; the classes are the largest scores; a copy opens the same file."""
    torch.save({"other.weight": torch.zeros(3)}, tmp_path / "a_parsing_parsenet.pth")
    tiny_onnx.landmark_model(tmp_path / "face_parsing_of_something.onnx")
    weights = parser_weights()
    torch.save(weights, tmp_path / name) if name[-3:] != "ors" else save_file(weights, tmp_path / name)
    parser = find_parser(tmp_path.iterdir(), Provider.CPU)
    assert parser is not None and parser.path.name == name
    wanted = stated_scores(weights, normalised(crop()))[0].argmax(0)
    assert torch.equal(parser.classes(crop()), wanted)
    assert torch.equal(pickle.loads(pickle.dumps(parser)).classes(crop()), wanted)


def test_onnx_is_told_by_its_signature(tmp_path):
    """Beside a landmark model; with a PyTorch file beside it that one is taken."""
    tiny_onnx.landmark_model(tmp_path / "2d106det.onnx")
    assert find_parser(tmp_path.iterdir(), Provider.CPU) is None
    onnx_parser(tmp_path / "anything.onnx")
    parser = find_parser(tmp_path.iterdir(), Provider.CPU)
    assert parser is not None
    half = torch.cat((torch.ones(512, 256, 3), torch.zeros(512, 256, 3)), dim=1)
    classes = parser.classes(half)
    assert (classes[:, :256] == 1).all() and (classes[:, 256:] == 17).all()
    torch.save(parser_weights(), tmp_path / "z.pth")
    other = find_parser(tmp_path.iterdir(), Provider.CPU)
    assert other is not None and other.path.name == "z.pth"


def test_a_damaged_parser_is_named(tmp_path):
    """What is lost, and where to get the file."""
    weights = parser_weights()
    del weights["cp.arm16.bn_atten.running_var"]
    torch.save(weights, tmp_path / "cut.pth")
    with pytest.raises(FaceAnalysisError, match="cut.pth: found a damaged face parser.*bn_atten.running_var.*facexlib"):
        FaceParser(tmp_path / "cut.pth", Provider.CPU).classes(crop())
