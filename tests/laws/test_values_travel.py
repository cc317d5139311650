"""Values are data: every socket goes into another process, where the pack has another name, and makes the same image there."""

import pickle
import subprocess
import sys
from pathlib import Path

import cloudpickle
import pytest
import torch
from pack.ipadapter_core import import_name
from pack.ipadapter_core.compat.pipeline import Pipeline
from pack.ipadapter_core.diagnostics.record import record_attention
from pack.ipadapter_core.diagnostics.sweep import read_sweep
from pack.ipadapter_core.errors import CheckpointError
from pack.ipadapter_core.patchers.apply import apply_image_prompt
from pack.ipadapter_core.patchers.hooks.wrappers import applications_of
from pack.ipadapter_core.prompt.image_prompt import ImagePrompt, Reference
from pack.ipadapter_core.sampling.strength import Strength
from pack.ipadapter_core.weights.layer_presets import LayerPreset
from pack.ipadapter_core.weights.layer_weights import LayerWeights
from pack.ipadapter_core.weights.schedule import WeightSchedule
from pack.tests.oracles.recorded_passes import patched, picture, prompt_of, sample, short_adapter, short_model

pytestmark = pytest.mark.engine

CHILD = """
import asyncio, importlib.util, pickle, sys
sys.path.insert(0, sys.argv[2])
import torch
from comfy.cli_args import args
args.cpu = not torch.cuda.is_available()
torch.set_num_threads(1)
root, name = sys.argv[1], "/somewhere/else/custom_nodes/renamed"
spec = importlib.util.spec_from_file_location(name, root + "/__init__.py", submodule_search_locations=[root])
sys.modules[name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules[name])
importlib.import_module(name + ".nodes")
importlib.import_module(name + ".ipadapter_core.import_name").publish()
values = pickle.loads(open(sys.argv[3], "rb").read())
print("names:", sorted(one for one in sys.modules if one.split(".")[0] == "pack"))
sys.path.insert(0, root + "/tools")
from loading import load_pack
load_pack()
from pack.tests.oracles.recorded_passes import sample, short_model
patchers = name + ".ipadapter_core.patchers."
apply = importlib.import_module(patchers + "apply").apply_image_prompt
add = importlib.import_module(patchers + "hooks.wrappers").add_application
compose = importlib.import_module(patchers + "families.unet").compose
model = short_model()
for application in values["applications"]:
    model = add(model, application, compose)
again = apply(short_model(), values["adapter"], values["prompt"], values["strength"], layer_weights=values["layers"])
torch.save([sample(one) for one in (model, again)], sys.argv[4])
"""


@pytest.fixture(scope="module")
def values():
    """One of everything, and the image that it makes."""
    import_name.publish()
    bare, prompt = short_model(), prompt_of(picture(2), picture(4))
    mask = torch.linspace(0, 1, 64).expand(1, 64, 64)
    reference = Reference(picture(5), 0.5)
    prompt = ImagePrompt((*prompt.references, reference), prompt.feature, prompt.encoder)
    strength = Strength(0.8, schedule=WeightSchedule(((0.0, 1.0), (1.0, 0.5))), frames=(1.0, 0.5))
    layers, adapter = LayerWeights(LayerPreset.EASE_IN), short_adapter(bare)
    model = apply_image_prompt(bare, adapter, prompt, strength, layer_weights=layers)
    masked = apply_image_prompt(model, adapter, prompt, Strength(0.3), mask)
    sample(masked)
    recorded, recording = record_attention(masked)
    sample(recorded)
    applied = applications_of(model.model_options["transformer_options"])
    return {"prompt": prompt, "strength": strength, "layers": layers, "adapter": adapter, "applications": applied,
            "recording": recording, "sweep": read_sweep("0.5, 1", "linear"), "pipeline": Pipeline(adapter),
            "expected": sample(model)}  # fmt: skip


@pytest.mark.parametrize("library", [pickle, cloudpickle], ids=lambda one: one.__name__)
def test_values_make_the_same_image_in_another_process(library, values, tmp_path):
    """To the bit, from the application itself and from its parts, with nothing of this process's names in them."""
    file, images = tmp_path / "values", tmp_path / "images.pt"
    file.write_bytes(library.dumps(values))
    root, comfyui = Path(__file__).parents[2], Path(sys.modules["comfy"].__path__[0]).parent
    command = [sys.executable, "-c", CHILD, root, comfyui, file, images]
    child = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=tmp_path, check=False)
    assert child.returncode == 0, child.stderr[-2000:]
    assert "names: []" in child.stdout
    from_application, from_parts = torch.load(images)
    assert torch.equal(from_application, values["expected"]) and torch.equal(from_parts, values["expected"])


def test_caches_stay_at_home(values):
    """What a run placed on devices and what an adapter projected do not travel; a copy counts for itself."""
    adapter, (application,) = values["adapter"], values["applications"]
    application.placed(torch.device("cpu"), torch.float32)
    image = values["prompt"].references[0].image
    bank = adapter.bank(image)
    copy = pickle.loads(pickle.dumps(values | {"image": image}))
    assert application.cache.held() and not copy["applications"][0].cache.held()
    assert adapter.bank(image) is bank and copy["adapter"].bank(copy["image"]) is not bank
    assert torch.equal(copy["adapter"].bank(copy["image"]).keys[0], bank.keys[0])


def test_the_package_has_one_name():
    """Errors name the package, and other packs import it."""
    import_name.publish()
    assert f"{CheckpointError.__module__}.{CheckpointError.__qualname__}" == "ipadapter_core.errors.CheckpointError"
    from ipadapter_core.errors import CheckpointError as found

    assert found is CheckpointError
    assert patched.__module__ == "pack.tests.oracles.recorded_passes"
