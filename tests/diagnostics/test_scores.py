"""Scores of images against formulas written out, transformers' CLIP, and images whose answer is known."""

import itertools
import json

import numpy as np
import pytest
import torch
from pack.demo.encoder import CONFIG, clip_vision
from pack.ipadapter_core.diagnostics.clip_similarity import matches, picture_directions, text_direction
from pack.ipadapter_core.diagnostics.comparison_grid import GAP, LABEL, comparison_grid
from pack.ipadapter_core.diagnostics.score import ScoreTargets, encoder_mismatch_warning, score
from pack.ipadapter_core.diagnostics.score_plots import plot_scores
from pack.ipadapter_core.diagnostics.scores import Row, as_json, balance, palette_distance, palettes, sharpness, table
from pack.ipadapter_core.diagnostics.sweep import read_sweep
from pack.ipadapter_core.errors import ComparisonError, EncoderMismatchError, WeightError
from pack.ipadapter_core.weights.layer_presets import LayerPreset
from pack.tools.miniature.models import randomise
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, CLIPVisionConfig, CLIPVisionModelWithProjection

import comfy.sd
from comfy.clip_vision import ClipVisionModel
from comfy.sd1_clip import SD1ClipModel, SD1Tokenizer
from comfy.supported_models_base import ClipTarget

pytestmark = pytest.mark.seeing

WIDTH = 48  # of the tiny text model; CLIP's text projections are square in ComfyUI's class
TEXT = {
    "hidden_size": WIDTH, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2, "projection_dim": WIDTH,
}  # fmt: skip


def pictures(count, seed=3, size=20):
    return torch.rand(count, size, size + 4, 3, generator=torch.Generator().manual_seed(seed))


def in_half(model):
    """Weights that half precision, which ComfyUI keeps encoders in, holds exactly."""
    return {key: tensor.half().to(tensor.dtype) for key, tensor in model.state_dict().items()}


def text_model():
    """The same random weights as transformers' text model and as ComfyUI's CLIP."""
    theirs = CLIPTextModelWithProjection(
        CLIPTextConfig(**TEXT, vocab_size=49408, eos_token_id=49407, bos_token_id=49406)
    )
    randomise(theirs, 5).load_state_dict(in_half(theirs))
    weights = {key: tensor.clone() for key, tensor in theirs.state_dict().items()}
    target = ClipTarget(SD1Tokenizer, SD1ClipModel)
    return theirs, comfy.sd.CLIP(target, state_dict=[weights], model_options={"clip_l_model_config": TEXT})


def vision_model(width):
    """The same random weights as transformers' vision model and as ComfyUI's."""
    theirs = CLIPVisionModelWithProjection(CLIPVisionConfig(**CONFIG | {"projection_dim": width}))
    randomise(theirs, 6).load_state_dict(in_half(theirs))
    return theirs


def test_seeing_clip_t_is_that_of_transformers():
    """A CLIP whose checkpoints ask for unprojected text, as SD1.5's do."""
    theirs, ours = text_model()
    for text in ("a red star", "two (cats:1.3) on a sofa, " * 3):
        ids = torch.tensor([[token for token, _ in ours.tokenize(text)["l"][0]]])
        with torch.no_grad():
            expected = theirs(input_ids=ids).text_embeds.double()
        expected = expected / expected.norm()
        got = text_direction(ours, text, WIDTH)
        print(f"text direction of {text[:12]!r}: off by {float((got - expected).norm()):.1e}")
        assert (got - expected).norm() < 1e-5
    assert ours.cond_stage_model.clip_l.return_projected_pooled is False  # as it was


def test_seeing_clip_t_needs_a_projection_of_the_same_width():
    """ComfyUI leaves it empty, or older ones the identity, where a file has none; numbers from it would mean nothing."""
    _, clip = text_model()
    weight = clip.cond_stage_model.clip_l.transformer.text_projection.weight
    for empty in (torch.zeros(WIDTH, WIDTH), torch.eye(WIDTH), torch.full((WIDTH, WIDTH), torch.nan)):
        weight.data.copy_(empty)
        with pytest.raises(
            EncoderMismatchError, match="CLIP-L without a projection.*SDXL checkpoint beside CLIP ViT-bigG"
        ):
            text_direction(clip, "a star", WIDTH)
    with pytest.raises(EncoderMismatchError, match=f"width 64.*CLIP-L into width {WIDTH}"):
        text_direction(text_model()[1], "a star", 64)


def test_seeing_clip_i_is_that_of_transformers():
    """Cosines between 8-bit images of the encoder's own size."""
    theirs = vision_model(CONFIG["projection_dim"])
    ours = clip_vision(theirs.state_dict())
    size = ours.image_size
    given = (torch.rand(3, size, size, 3, generator=torch.Generator().manual_seed(4)) * 255).round() / 255
    mean, std = torch.tensor(ours.image_mean), torch.tensor(ours.image_std)
    with torch.no_grad():
        vectors = theirs(pixel_values=((given - mean) / std).movedim(-1, 1)).image_embeds.double()
    vectors = vectors / vectors.norm(dim=-1, keepdim=True)
    (row,) = score([given[:1]], ScoreTargets((given[1:],), ours))
    expected = (vectors[:1] @ vectors[1:].T)[0].tolist()
    print("CLIP-I", row.references, "transformers", expected)
    assert np.allclose(row.references, expected, atol=2e-5)
    assert score([given[:1]], ScoreTargets((given[:1],), ours))[0].references[0] == pytest.approx(1.0, abs=1e-6)


def test_seeing_both_scores_in_one_space():
    """CLIP-T is the mean cosine over a batch."""
    _, clip = text_model()
    encoder = ClipVisionModel(CONFIG | {"projection_dim": WIDTH})
    encoder.load_sd(vision_model(WIDTH).state_dict())
    batches = [pictures(2, 1, 64), pictures(1, 2, 64)]
    rows = score(batches, ScoreTargets((), encoder, clip, "a star"))
    text = text_direction(clip, "a star", WIDTH)
    for row, batch in zip(rows, batches, strict=True):
        assert row.prompt == pytest.approx(float((picture_directions(encoder, [batch]) @ text.T).mean()), abs=1e-6)


def test_seeing_encoders_that_do_not_belong_together_are_doubted():
    """Random models of one width; then two sides whose directions are the same but for a common offset."""
    encoder = ClipVisionModel(CONFIG | {"projection_dim": WIDTH})
    encoder.load_sd(vision_model(WIDTH).state_dict())
    assert "they were not trained together" in encoder_mismatch_warning(ScoreTargets((), encoder, text_model()[1]))
    assert encoder_mismatch_warning(ScoreTargets((), encoder)) == ""
    sides = torch.randn(8, 32, generator=torch.Generator().manual_seed(2))
    assert matches(sides + 5, sides - 3) == 8 and matches(sides, sides.roll(1, 0)) == 0


def test_seeing_palette_distance_is_the_best_matching():
    """Against every permutation of six colours."""
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    costs = [float((one[list(order)] - other).norm(dim=-1).mean()) for order in itertools.permutations(range(6))]
    assert palette_distance(one, other) == pytest.approx(min(costs), abs=1e-12)
    black, white = (palettes(torch.full((1, 64, 64, 3), value))[0] for value in (0.0, 1.0))
    assert palette_distance(black, white) == pytest.approx(100, abs=0.1)  # L* goes from 0 to 100
    picture = pictures(1, size=48)
    assert palette_distance(palettes(picture)[0], palettes(picture.flip(1))[0]) < 12  # the same colours elsewhere
    assert palette_distance(palettes(picture)[0], palettes(picture)[0]) == 0


def test_seeing_sharpness_is_the_variance_of_the_laplacian():
    """Written out pixel by pixel; a blurred image is less sharp."""
    picture = pictures(2, size=9)
    grey = 255 * (picture.double().numpy() @ np.array([0.299, 0.587, 0.114]))
    for number, plane in enumerate(np.pad(grey, ((0, 0), (1, 1), (1, 1)), mode="reflect")):
        rows, columns = plane.shape[0] - 2, plane.shape[1] - 2
        laplacian = [
            plane[y, x + 1] + plane[y + 2, x + 1] + plane[y + 1, x] + plane[y + 1, x + 2] - 4 * plane[y + 1, x + 1]
            for y in range(rows)
            for x in range(columns)
        ]
        assert float(sharpness(picture)[number]) == pytest.approx(np.var(laplacian), rel=1e-5)
    soft = torch.nn.functional.avg_pool2d(picture.movedim(-1, 1), 3, 1, 1).movedim(1, -1)
    assert (sharpness(soft) < sharpness(picture) / 4).all()


def rows_of(pairs):
    return [
        Row(f"weight {index}", 1, (reference,), prompt, weight=float(index), preset="linear")
        for index, (reference, prompt) in enumerate(pairs)
    ]


def test_seeing_the_balance():
    """Where the smaller of both stretched scores is largest; nothing where one does not change."""
    rows = rows_of([(0.2, 0.3), (0.7, 0.28), (0.8, 0.22), (0.82, 0.1)])
    assert balance(rows) is rows[1]  # (0.81, 0.9) against (0.97, 0.6)
    assert balance(rows_of([(0.2, 0.3), (0.7, 0.3)])) is None and balance(rows_of([(0.2, None)])) is None
    assert json.loads(as_json(rows))["balanced"] == "weight 1" and "balanced: weight 1" in table(rows)
    assert plot_scores(rows).shape[0] == 1


def test_seeing_a_sweep_reads_words_and_says_which_is_wrong():
    """Row by row, presets first."""
    sweep = read_sweep("0, 0.5", "Linear; style transfer")
    assert [one.label for one in sweep.variants][1:3] == ["linear, weight 0.5", "style transfer, weight 0"]
    assert sweep.presets == (LayerPreset.LINEAR, LayerPreset.STYLE)
    wrong = {
        "found 'much'": ("0, much", "linear"),
        "found 'style', expected names": ("1", "style"),
        "no weight or no preset": ("", "linear"),
        "at most 64": ("1," * 33, "linear, ease in"),
    }
    for said, (weights, presets) in wrong.items():
        with pytest.raises(WeightError, match=said):
            read_sweep(weights, presets)


def test_seeing_a_grid_lays_each_picture_in_its_place():
    """Images of one colour each, read back from the middle of their cells."""
    sweep = read_sweep("0, 0.5, 1", "linear, ease in")
    values = [(number + 1) / 8 for number in range(6)]
    grid = comparison_grid([torch.full((2, 8, 8, 3), value) for value in values], sweep, 32, [torch.ones(1, 8, 8, 3)])
    middles = [
        grid[0, LABEL + row * (2 * LABEL // 2 + 32 + GAP) + LABEL + 16, 32 + 2 * GAP + column * (32 + GAP) + 16, 0]
        for row in range(2)
        for column in range(3)
    ]
    assert np.allclose(middles, values, atol=1 / 255)
    assert float(grid[0, 2 * LABEL + 16, GAP + 16, 0]) == 1
    with pytest.raises(ComparisonError, match="found 1 images or batches for 6 variants"):
        comparison_grid([torch.ones(1, 8, 8, 3)], sweep, 32)


def test_seeing_scores_that_do_not_fit_are_explained():
    """Counts, and an encoder that is missing."""
    with pytest.raises(ComparisonError, match="found 2 images or batches for 1 variants"):
        score([pictures(1), pictures(1)], ScoreTargets(), read_sweep("1", "linear"))
    with pytest.raises(ComparisonError, match="found 1 prompt_scores for 2"):
        score([pictures(1), pictures(1)], ScoreTargets(prompt_scores=(0.5,)))
    with pytest.raises(ComparisonError, match="connect clip_vision"):
        score([pictures(1)], ScoreTargets(clip=text_model()[1]))
