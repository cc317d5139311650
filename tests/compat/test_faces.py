"""Faces: as they were, and corrected."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from pack.ipadapter_core.compat.encode import encode_request
from pack.ipadapter_core.compat.pipeline import Pipeline
from pack.ipadapter_core.compat.request import Request
from pack.ipadapter_core.compat.weight_types import Results
from pack.ipadapter_core.encoders.face.geometry import TEMPLATE
from pack.ipadapter_core.errors import FaceAnalysisError
from pack.tests.oracles.encoder_inputs import hidden, normalised
from pack.tests.oracles.weight_types import combined
from pack.tools.miniature.faces import weights_of
from pack.tools.miniature.models import managed

pytestmark = pytest.mark.catalogue

AS_PLUS = Results.AS_PLUS


class Faces:
    """An INSIGHTFACE object: dark images show nobody, others somebody, as far as their first pixel says."""

    def __init__(self):
        self.det_model = SimpleNamespace(input_size=(640, 640))

    def get(self, picture):
        number = int(picture[0, 0, 0])
        embedding = np.zeros(512, np.float32)
        embedding[number] = 4.0
        box = np.array([20.0, 20.0, 90.0, 90.0])
        face = SimpleNamespace(bbox=box, kps=TEMPLATE.numpy() * 0.6 + 15, det_score=0.9, embedding=embedding,
                               normed_embedding=embedding / 4)  # fmt: skip
        return [face] if number else []


def people(*numbers):
    pictures = torch.full((len(numbers), 120, 120, 3), 0.5)
    for place, number in enumerate(numbers):
        pictures[place, 0, 0] = number / 255
    return pictures


@pytest.fixture(scope="module")
def face_plus(plus):
    weights = weights_of("FaceID Plus", [64, 64], 96)
    return Pipeline(managed(weights), plus.encoder, Faces())


def test_catalogue_faces_as_they_were_and_corrected(face_plus):
    """A black image in the negative, an error for a missing face; or the training's negative, and the face passed over."""
    encoder = face_plus.encoder
    pictures = people(3, 0, 5)
    with pytest.raises(FaceAnalysisError, match="no face in 1 of 3"):
        encode_request(face_plus, Request(image=pictures, results=AS_PLUS))
    found = encode_request(face_plus, Request(image=pictures))
    assert len(found.prompt.references) == 2 and found.faces.shape == (2, 224, 224, 3)
    batch = encode_request(face_plus, Request(image=pictures, unfold=True)).prompt
    assert [reference.weight for reference in batch.references] == [1, 0, 1]
    with pytest.raises(FaceAnalysisError, match="no face in any of 2"):
        encode_request(face_plus, Request(image=people(0, 0)))
    black = hidden(encoder, normalised(encoder, torch.zeros(1, 56, 56, 3)))[1]
    nothing = hidden(encoder, torch.zeros(1, 3, 56, 56))[1]
    old = encode_request(face_plus, Request(image=people(3, 5), results=AS_PLUS)).prompt.references[0].image
    new = found.prompt.references[0].image
    assert torch.allclose(old.negative[1], black, atol=1e-5) and torch.allclose(new.negative[1], nothing, atol=1e-5)
    assert not old.negative[0].any() and not new.negative[0].any()


@pytest.mark.parametrize("results", Results)
@pytest.mark.parametrize("method", ["average", "add", "subtract", "norm average"])
def test_catalogue_faces_combined(face_plus, method, results):
    """Identity and look each by the formula, how they are blended as it was."""
    pictures = people(3, 5, 9)
    apart = encode_request(face_plus, Request(image=pictures, weight_faceidv2=1.5, results=results)).prompt
    whole = encode_request(
        face_plus, Request(image=pictures, weight_faceidv2=1.5, combine_embeds=method, results=results)
    ).prompt
    (reference,) = whole.references
    for part in (0, 1):
        rows = torch.cat([one.image.features[part] for one in apart.references]).double()
        flat = rows if part == 0 or method != "norm average" or results is AS_PLUS else rows.transpose(0, 1)
        if flat is rows:
            expected = combined(method, results.value, rows)
        else:
            expected = torch.cat([combined(method, results.value, token) for token in flat]).unsqueeze(0)
        found = reference.image.features[part].double()
        finite = expected.isfinite()
        assert torch.allclose(found[finite], expected[finite], atol=1e-5)
    assert torch.equal(reference.image.features[2], apart.references[0].image.features[2])
