"""Detection, alignment and recognition with models of the published signatures, on a real photograph."""

import math
import pickle

import numpy as np
import pytest
import torch
from pack.ipadapter_core.encoders.face import onnx_session as sessions
from pack.ipadapter_core.encoders.face.analysis import find_faces, load_analysis
from pack.ipadapter_core.encoders.face.detection import best, centers
from pack.ipadapter_core.encoders.face.geometry import TEMPLATE, aligned_crop, similarity, square_crop, template, warp
from pack.ipadapter_core.encoders.face.onnx_session import PROVIDERS, Provider
from pack.ipadapter_core.errors import FaceAnalysisError
from pack.tools.miniature.face_analysis import BOX, LANDMARKS, MIXING, face_models
from skimage import data
from skimage.transform import SimilarityTransform

pytestmark = pytest.mark.faces


@pytest.fixture
def astronaut():
    """Eileen Collins, NASA, public domain: (512, 512, 3) in 0..1."""
    return torch.from_numpy(data.astronaut()).float() / 255


def test_an_analysis_travels_as_its_files(tmp_path, astronaut):
    """A session cannot be pickled: the copy opens the same files again, and finds the same face."""
    analysis = load_analysis(face_models(tmp_path, astronaut), Provider.CPU).analysis
    (face,), (again,) = (find_faces(one, astronaut) for one in (analysis, pickle.loads(pickle.dumps(analysis))))
    assert np.array_equal(face.embedding, again.embedding)


def test_a_photograph_end_to_end(tmp_path, astronaut):
    """The face lies where it was put, and its identity is the recognition model's on the aligned crop, computed by hand."""
    loaded = load_analysis(face_models(tmp_path / "buffalo_l", astronaut), Provider.CPU)
    assert "det_10g.onnx finds faces, w600k_r50.onnx knows them; on CPUExecutionProvider" in loaded.report
    (face,) = find_faces(loaded.analysis, astronaut)
    assert np.allclose(face["bbox"], BOX, atol=1e-3)
    assert np.allclose(face.kps, LANDMARKS, atol=1e-3)
    assert face.det_score > 0.99

    crop = by_hand(astronaut.numpy() * 255, LANDMARKS, 112)
    blob = (crop - 127.5) / 127.5
    averages = blob.reshape(8, 14, 8, 14, 3).mean(axis=(1, 3)).transpose(2, 0, 1).reshape(-1)
    identity = averages @ MIXING
    assert np.allclose(face.embedding, identity, atol=1e-4 * np.abs(identity).max())
    assert np.linalg.norm(face.normed_embedding) == pytest.approx(1, abs=1e-6)


def estimated(source, target):
    """scikit-image's least squares; `from_estimate` came with 0.26, which wants Python 3.11."""
    if hasattr(SimilarityTransform, "from_estimate"):
        return SimilarityTransform.from_estimate(source, target)
    found = SimilarityTransform()
    assert found.estimate(source, target)
    return found


def by_hand(picture, landmarks, size):
    """The aligned crop: scikit-image's similarity transform, then a bilinear look-up pixel by pixel."""
    transform = estimated(landmarks, template(size).numpy().astype(float))
    back = np.linalg.inv(transform.params)
    crop = np.zeros((size, size, 3))
    for y in range(size):
        for x in range(size):
            u, v, _ = back @ (x, y, 1)
            left, top = math.floor(u), math.floor(v)
            for row, column in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
                if 0 <= row < picture.shape[0] and 0 <= column < picture.shape[1]:
                    crop[y, x] += (1 - abs(u - column)) * (1 - abs(v - row)) * picture[row, column]
    return crop


def test_alignment_equals_a_similarity_by_hand(astronaut):
    """Rotated, scaled and shifted points come back exactly; noisy ones as scikit-image fits them; a crop pixel by pixel."""
    angle, scale = 0.4, 1.7
    matrix = scale * np.array(((math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle))))
    points = TEMPLATE.numpy() @ matrix.T + (30, -12)
    found = similarity(TEMPLATE, torch.from_numpy(points)).numpy()
    assert np.allclose(found, np.column_stack((matrix, (30, -12))), atol=1e-4)
    noisy = torch.from_numpy(LANDMARKS)
    assert np.allclose(
        similarity(noisy, TEMPLATE),
        estimated(LANDMARKS, TEMPLATE.numpy()).params[:2],
        atol=1e-9,
    )
    for size in (112, 224):
        crop = aligned_crop(astronaut, noisy.float(), size)
        assert np.allclose(crop.numpy(), by_hand(astronaut.numpy(), LANDMARKS, size), atol=2e-4)


def test_mirrored_points_are_not_reflected():
    """The nearest rotation has a positive determinant even for a face seen in a mirror."""
    mirrored = TEMPLATE * torch.tensor((-1.0, 1.0))
    assert torch.linalg.det(similarity(mirrored, TEMPLATE)[:, :2]) > 0
    expected = estimated(mirrored.numpy(), TEMPLATE.numpy()).params[:2]
    assert np.allclose(similarity(mirrored, TEMPLATE).numpy(), expected, atol=1e-6)


def test_crop_sizes_and_edges(astronaut):
    """224 doubles the template, 256 leaves 16 pixels at both sides; outside the image is black."""
    assert torch.equal(template(224), TEMPLATE * 2)
    assert torch.equal(template(256), TEMPLATE * 2 + torch.tensor((16.0, 0.0)))
    shift = torch.tensor(((1.0, 0.0, 5.0), (0.0, 1.0, 0.0)))
    moved = warp(astronaut, shift, 64)
    assert torch.allclose(moved[:, :5], torch.zeros(64, 5, 3), atol=1e-4)
    assert torch.allclose(moved[:, 5:], astronaut[:64, :59], atol=1e-4)
    square = square_crop(astronaut, (-10.0, 100.0, 90.0, 160.0))
    assert square.shape == (100, 100, 3)
    assert torch.equal(square[:, :10], torch.zeros(100, 10, 3))
    assert torch.equal(square[:, 10:], astronaut[80:180, :90])


def test_the_sweep_goes_down_to_a_size_that_finds_it(tmp_path, astronaut):
    """A detector that knows the face at 384 pixels only: found after 640, 576, 512 and 448, and the size is put back."""
    analysis = load_analysis(face_models(tmp_path, astronaut, size=384), Provider.CPU).analysis
    sizes = []
    detect = analysis.det_model.detect
    analysis.det_model.detect = lambda picture: sizes.append(analysis.det_model.input_size) or detect(picture)
    (face,) = find_faces(analysis, astronaut)
    assert np.allclose(face.kps, LANDMARKS, atol=1e-3)
    assert sizes == [(640, 640), (576, 576), (512, 512), (448, 448), (384, 384)]
    assert analysis.det_model.input_size == (640, 640)
    assert find_faces(analysis, torch.zeros(200, 300, 3)) == []
    assert analysis.det_model.input_size == (640, 640)


@pytest.mark.parametrize("shape", [(512, 512), (300, 700), (900, 333)])
def test_positions_are_the_pictures_own(tmp_path, astronaut, shape):
    """Wide and tall images are scaled alike in both directions."""
    picture = torch.zeros(*shape, 3)
    rows, columns = min(shape[0], 300), min(shape[1], 333)
    picture[:rows, :columns] = astronaut[:rows, :columns]
    analysis = load_analysis(face_models(tmp_path, picture), Provider.CPU).analysis
    (face,) = find_faces(analysis, picture)
    assert np.allclose(face.kps, LANDMARKS, atol=1e-3)


def test_anchors_and_overlaps():
    """Two anchors at each cell, x before y; of overlapping boxes the best stays."""
    assert centers((24, 16), 8).tolist() == [[x, y] for y in (0, 8) for x in (0, 8, 16) for _ in range(2)]
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [40, 40, 50, 50], [0, 0, 10, 3]])
    assert best(boxes, torch.tensor([0.6, 0.9, 0.7, 0.95])) == [3, 1, 2]


def test_models_are_told_by_signature(tmp_path, astronaut):
    """Renamed files in a nested folder, as the antelopev2 archive unpacks; and what is said when one is missing."""
    inner = face_models(tmp_path / "antelopev2" / "antelopev2", astronaut)
    (inner / "det_10g.onnx").rename(inner / "b.onnx")
    (inner / "w600k_r50.onnx").rename(inner / "a.onnx")
    assert "b.onnx finds faces, a.onnx knows them" in load_analysis(tmp_path / "antelopev2", Provider.CPU).report
    (inner / "a.onnx").unlink()
    with pytest.raises(FaceAnalysisError, match="a recognition model .* expected: download https://.*/antelopev2.zip"):
        load_analysis(tmp_path / "antelopev2", Provider.CPU)
    with pytest.raises(FaceAnalysisError, match="no .onnx file found, a detection model .* and a recognition model"):
        load_analysis(tmp_path / "buffalo_l", Provider.CPU)
    (inner / "det_c.onnx").write_bytes(b"<html>")
    with pytest.raises(FaceAnalysisError, match=r"det_c.onnx: onnxruntime cannot open it \(6 bytes"):
        load_analysis(tmp_path / "antelopev2", Provider.CPU)


def test_a_missing_provider_falls_back_and_says_so(tmp_path, astronaut):
    """CUDA where there is none; the names are onnxruntime's own."""
    import onnxruntime

    folder = face_models(tmp_path, astronaut)
    assert set(PROVIDERS.values()) - {"ROCMExecutionProvider"} <= set(onnxruntime.get_all_providers())
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        report = load_analysis(folder, Provider.CUDA).report
        assert "on CPUExecutionProvider, because CUDAExecutionProvider is not available" in report
        assert "onnxruntime-gpu brings it" in report


def test_without_onnxruntime_the_node_says_what_to_install(tmp_path, monkeypatch, astronaut):
    """An optional package."""
    import sys

    folder = face_models(tmp_path, astronaut)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(FaceAnalysisError, match="pip install onnxruntime.*insightface is not needed"):
        load_analysis(folder, Provider.CPU)
    assert sessions.PROVIDERS
