"""Training on every family: the loss falls, gradients end at the adapter, the base stays to the bit, and so does the way on."""

import gc
from contextlib import contextmanager
from dataclasses import replace
from statistics import fmean

import pytest
import torch
from pack.ipadapter_core.adapter import whole_file
from pack.ipadapter_core.errors import ModelMismatchError, TrainingError
from pack.ipadapter_core.training.base_model import frozen_base
from pack.ipadapter_core.training.fingerprint import weights_digest
from pack.ipadapter_core.training.live_adapter import learning
from pack.ipadapter_core.training.objective import Weighting
from pack.ipadapter_core.training.precision import Precision
from pack.ipadapter_core.training.train import TrainingRun, train_adapter
from pack.tools.miniature.training import TRAININGS, FewExamples, short, training_of

import comfy.model_management

pytestmark = pytest.mark.training
every = pytest.mark.parametrize("case", TRAININGS)
SMALL = "FLUX XLabs"


@contextmanager
def run_of(case, **changes):
    """A family's run before its first step."""
    model, adapter, examples = training_of(case)
    settings = replace(short(**changes), weighting=Weighting.PREDICTION)
    pupil = learning(adapter, model)
    with frozen_base(model, settings.base, pupil.prepared) as base:
        yield TrainingRun(base, pupil, examples, settings)


def measured(model, adapter, examples, settings):
    """The mean loss at the noise that a training with these settings sees, without learning anything."""
    still = replace(settings, schedule=replace(settings.schedule, learning_rate=0.0))
    return fmean(train_adapter(model, adapter, examples, still).progress.losses)


@every
def test_the_loss_falls_and_the_base_stays(case):
    """At the same noise before and after; the model and the adapter that went in are as they were, to the bit."""
    model, adapter, examples = training_of(case)
    network, settings = model.model.diffusion_model, replace(short(6), weighting=Weighting.PREDICTION)
    before, weights = weights_digest(network), weights_digest(adapter.network)
    flags = [parameter.requires_grad for parameter in network.parameters()]
    made = train_adapter(model, adapter, examples, settings)
    assert weights_digest(network) == before == made.base and weights_digest(adapter.network) == weights
    assert [parameter.requires_grad for parameter in network.parameters()] == flags
    assert not comfy.model_management.in_training and not model.object_patches
    start = measured(model, adapter, examples, settings)
    found = measured(model, made.adapter, examples, settings)
    print(f"{case}: {start:.4f} -> {found:.4f}")
    assert found < 0.97 * start


@every
def test_gradients_reach_the_whole_adapter_and_nothing_else(case):
    """Every end of the loss' graph is a tensor of the adapter, and each of its tensors is one."""
    with run_of(case) as run:
        ends, ahead, seen = set(), [run.loss(0).grad_fn], set()
        while ahead:
            node = ahead.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            if hasattr(node, "variable"):
                ends.add(id(node.variable))
            ahead += [following for following, _ in node.next_functions]
        assert ends == {id(parameter) for parameter in run.pupil.parameters().values()}


@every
def test_the_gradient_is_the_loss_slope(case):
    """Along the gradient the loss changes as the gradient says, although blocks write into what they are given."""
    with run_of(case) as run:
        parameters = list(run.pupil.parameters().values())
        run.loss(0).backward()
        directions = [parameter.grad.clone() for parameter in parameters]
        slope = sum(float(one.double().square().sum()) for one in directions)
        step = 2e-3 / slope**0.5
        sides = []
        for sign in (1, -1):
            with torch.no_grad():
                for parameter, direction in zip(parameters, directions, strict=True):
                    parameter.add_(direction, alpha=sign * step)
                sides.append(float(run.loss(0)))
                for parameter, direction in zip(parameters, directions, strict=True):
                    parameter.sub_(direction, alpha=sign * step)
    assert (sides[0] - sides[1]) / (2 * step) == pytest.approx(slope, rel=0.03)


@every
def test_checkpointed_blocks_give_the_same_gradient(case):
    """Each computes again what it computed, with the options and tensors that it was called with."""
    found = []
    for checkpointing in (False, True):
        with run_of(case, checkpointing=checkpointing) as run:
            run.loss(0).backward()
            found.append([parameter.grad for parameter in run.pupil.parameters().values()])
    plain, twice = (torch.cat([one.flatten() for one in side]) for side in found)
    assert float((plain - twice).norm() / plain.norm()) < 1e-5


@pytest.mark.parametrize("case", ["SD1.5 base", SMALL, "SD3.5 InstantX", "Anima PE-Core"])
def test_a_training_that_was_cancelled_goes_on_to_the_bit(case, tmp_path):
    """What one run makes, two make that were parted by a cancelled prompt."""
    model, adapter, examples = training_of(case)

    def cancel(moment):
        if moment.step == 2:
            raise comfy.model_management.InterruptProcessingException

    whole = train_adapter(model, adapter, examples, short(4))
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        train_adapter(model, adapter, examples, short(4), cancel, lambda _: tmp_path / "run.safetensors")
    steps = []
    parted = train_adapter(
        model,
        adapter,
        examples,
        short(4),
        lambda moment: steps.append(moment.step),
        lambda _: tmp_path / "run.safetensors",
    )
    assert steps == [3, 4] and parted.progress.losses == whole.progress.losses
    assert weights_digest(parted.adapter.network) == weights_digest(whole.adapter.network)
    assert not comfy.model_management.in_training


def test_a_checkpoint_belongs_to_its_data_and_settings(tmp_path):
    """Another seed, rate or image is another training; more steps of the same one go on."""
    model, adapter, examples = training_of(SMALL)
    names = []

    def file(identity):
        names.append(identity)
        return tmp_path / f"{identity}.safetensors"

    train_adapter(model, adapter, examples, short(2), None, file)
    longer = train_adapter(model, adapter, examples, short(3), None, file)
    assert names[0] == names[1] and longer.progress.step == 3
    others = (
        (examples, replace(short(1), seed=1)),
        (examples, short(1, learning_rate=1e-3)),
        (FewExamples(TRAININGS[SMALL], 3), short(1)),
    )
    for other, settings in others:
        train_adapter(model, adapter, other, settings, None, file)
    assert len(set(names)) == 4


def test_a_full_disk_is_said_and_nothing_is_left_changed(tmp_path, monkeypatch):
    """The model is free again, and the last good checkpoint is there to go on from."""
    model, adapter, examples = training_of(SMALL)
    file = tmp_path / "run.safetensors"
    train_adapter(model, adapter, examples, short(1), None, lambda _: file)
    before, weights = file.read_bytes(), weights_digest(model.model.diffusion_model)

    def no_room(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(whole_file, "save_file", no_room)
    with pytest.raises(TrainingError, match="No space left on device.*step 1 stays"):
        train_adapter(model, adapter, examples, short(2), None, lambda _: file)
    assert file.read_bytes() == before and weights_digest(model.model.diffusion_model) == weights
    assert not comfy.model_management.in_training


def test_what_nodes_hand_over_can_be_trained_with():
    """ComfyUI runs its nodes where tensors are made that no backward pass can keep: models, adapters and texts."""
    with torch.inference_mode():
        model, adapter, examples = training_of(SMALL)
        assert next(model.model.parameters()).is_inference()
        made = train_adapter(model, adapter, examples, short(2))
    assert len(made.progress.losses) == 2 and not next(made.adapter.network.parameters()).is_inference()
    assert made.base == weights_digest(model.model.diffusion_model)


@pytest.mark.parametrize("case", ["SD1.5 plus", "FLUX InstantX", "SD3.5 InstantX", "Anima LuciferTC"])
def test_half_precision_computes_and_float32_learns(case):
    """The model's layers are asked in bf16 while it lasts; what learned is in float32, and it did learn."""
    model, adapter, examples = training_of(case)
    settings = replace(short(6, Precision.BF16), weighting=Weighting.PREDICTION)
    dtypes = []
    made = train_adapter(
        model, adapter, examples, settings, lambda moment: dtypes.append(moment.base.model.get_dtype_inference())
    )
    assert set(dtypes) == {torch.bfloat16} and model.model.get_dtype_inference() == torch.float32
    assert {one.dtype for one in made.adapter.network.parameters()} == {torch.float32}
    assert measured(model, made.adapter, examples, settings) < 0.97 * measured(model, adapter, examples, settings)


def test_a_teacher_says_what_is_wanted():
    """Under the very captions of the pupil, without an adapter: an adapter that adds nothing has nothing left to learn."""
    model, adapter, examples = training_of("SD1.5 base")
    with torch.no_grad():
        for name, parameter in adapter.network.named_parameters():
            if "to_v_ip" in name:
                parameter.zero_()
    taught = train_adapter(model, adapter, replace(examples, teacher=True), short(1))
    assert taught.progress.losses[0] < 1e-9
    assert train_adapter(model, adapter, examples, short(1)).progress.losses[0] > 1e-3


def test_memory_is_where_it_was():
    """After two trainings as after one, to the last tensor: nothing of a run is held but what it returned."""

    def held():
        gc.collect()
        return sum(isinstance(one, torch.Tensor) for one in gc.get_objects())

    model, adapter, examples = training_of(SMALL)
    train_adapter(model, adapter, examples, short(1, checkpointing=True))
    before = held()
    train_adapter(model, adapter, examples, short(2, checkpointing=True))
    assert held() == before


def test_an_adapter_for_another_model_is_refused():
    """As *Apply IP-Adapter* refuses it, and before anything is loaded."""
    (model, _, _), (_, adapter, examples) = training_of(SMALL), training_of("SD1.5 base")
    with pytest.raises(ModelMismatchError, match="tiny.safetensors is for"):
        train_adapter(model, adapter, examples, short(1))
