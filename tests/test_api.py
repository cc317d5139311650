"""docs/python.md: its examples run as they stand, its table names what there is, and errors are the pack's own."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from pack.ipadapter_core import api, errors
from pack.tests.oracles import transformer_world
from pack.tools.miniature.models import randomise
from pack.tools.miniature.transformers import tiny_transformer, weights_of, xlabs
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
IN_A_PACK, IN_A_SCRIPT = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
VISION = {"hidden_size": 1280, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 16, "image_size": 224,
          "patch_size": 14, "projection_dim": 48}  # fmt: skip
IN_PYTHON = {
    name for row in re.findall(r"^\| (\*[^|]+) \|", PAGE, re.MULTILINE) for name in re.findall(r"\*([^*]+)\*", row)
}
DISPLAY_NAMES = {
    node["display_name"] for node in json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text("utf-8")).values()
}
AFTER_THE_SCRIPT = """
from ipadapter_core.patchers.hooks.wrappers import applications_of
assert len(applications_of(patched.model_options["transformer_options"])) == 1
assert not applications_of(model.model_options["transformer_options"])
assert len(again.references) == 4 and [one.weight for one in again.references] == [1, 1, 0.5, 0.5]
print("applied")
"""
AROUND_THE_PACK = """
import asyncio, sys
sys.path.insert(0, COMFYUI)
from comfy.cli_args import args
args.cpu = True
import comfy.sd
import nodes
import server
import torch
async def load():
    server.PromptServer(asyncio.get_running_loop())
    for folder in (OTHER, PACK):
        assert await nodes.load_custom_node(folder)
asyncio.run(load())
named = nodes.NODE_CLASS_MAPPINGS
adapter = named["IPAdapterCoreLoad"].execute
from ipadapter_core import api
from ipadapter_core.patchers.hooks.wrappers import applications_of
assert sys.modules[PACK + ".ipadapter_core.api"] is api, [name for name in sys.modules if name.endswith(".api")]
model, adapter = comfy.sd.load_diffusion_model(MODEL), api.load_adapter(ADAPTER)
(patched,) = named["LikeThisImage"]().patched(model, adapter, api.load_image_encoder(ENCODER), torch.rand(1, 64, 64, 3))
(applied,) = applications_of(patched.model_options["transformer_options"])
assert type(applied).__module__ == "ipadapter_core.sampling.application" and applied.strength.weight == 0.8
print("applied")
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """A FLUX of two blocks, an adapter and an encoder for it, and where the page's names lead."""
    folder = tmp_path_factory.mktemp("api")
    model = tiny_transformer("FLUX", in_channels=16, out_channels=16)
    state = {key: tensor.clone() for key, tensor in model.model.diffusion_model.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    save_file(weights_of(xlabs(2, 256, 64, feature=48)), folder / "adapter.safetensors")
    encoder = randomise(CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION)), seed=2)
    encoder.save_pretrained(folder / "encoder")
    return {
        "MODEL": folder / "model.safetensors",
        "ADAPTER": folder / "adapter.safetensors",
        "ENCODER": folder / "encoder",
        "PROMPT": folder / "a.safetensors",
        "OTHER": folder / "another pack",
        "COMFYUI": Path(sys.modules["comfy"].__path__[0]).parent,
        "PACK": ROOT,
    }


def run(program, files, folder):
    """A program in a process of its own that knows nothing but the names."""
    names = "\n".join(f"{name} = {str(place)!r}" for name, place in files.items())
    command = [sys.executable, "-c", f"{names}\n{program}"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert ran.returncode == 0 and "applied" in ran.stdout, (ran.stdout + ran.stderr)[-2000:]


def test_the_script_runs(files, tmp_path):
    """As it stands, in ComfyUI's environment."""
    run(IN_A_SCRIPT + AFTER_THE_SCRIPT, files, tmp_path)


def test_the_node_of_another_pack_runs(files, tmp_path):
    """Loaded by ComfyUI before ours, which has one module for both."""
    files["OTHER"].mkdir()
    (files["OTHER"] / "__init__.py").write_text(IN_A_PACK)
    run(AROUND_THE_PACK, files, tmp_path)


def test_the_table_names_what_there_is():
    """Every public name, and no other; every kind of error is public."""
    table = "\n".join(line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `"))
    named = set(re.findall(r"`(\w+)", table))
    assert named == set(api.__all__) - {"ImageEncoder", "ImagePrompt", "ManagedAdapter"}
    assert "`ImagePrompt`" in PAGE and "`ImageEncoder`" in PAGE
    assert all(getattr(api, name).__doc__ for name in api.__all__)
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, api.IPAdapterError)]
    assert {kind.__name__ for kind in kinds} <= set(api.__all__)


class World(NamedTuple):
    """Values that belong together, a model that does not, and an empty folder."""

    model: Any
    another: Any
    adapter: Any
    prompt: Any
    folder: Path


@pytest.fixture
def world(tmp_path):
    """FLUX and Anima."""
    name, model, adapter, prompt = transformer_world.world("FLUX XLabs")
    return World(model, transformer_world.world("Anima PE-Core")[1], adapter, prompt, tmp_path)


IMAGES = torch.rand(1, 8, 8, 3)
WRONG = {
    "no prompts": lambda world: api.combine([]),
    "saved nowhere": lambda world: api.save_prompt(world.prompt, world.folder / "missing" / "a.safetensors"),
    "saved over a folder": lambda world: api.save_prompt(world.prompt, world.folder),
    "no such prompt": lambda world: api.load_prompt(world.folder / "missing.safetensors"),
    "no such adapter": lambda world: api.load_adapter(world.folder / "missing.safetensors"),
    "a folder as an adapter": lambda world: api.load_adapter(world.folder),
    "no such encoder": lambda world: api.load_image_encoder(world.folder / "missing.safetensors"),
    "an empty folder as an encoder": lambda world: api.load_image_encoder(world.folder),
    "no image": lambda world: api.encode_images(world.adapter, None, torch.rand(8, 8, 3)),
    "no encoder": lambda world: api.encode_images(world.adapter, None, IMAGES),
    "no negative": lambda world: api.encode_images(world.adapter, None, IMAGES, negative=torch.rand(1, 3, 8, 8)),
    "a weight of NaN": lambda world: api.apply(world.model, world.adapter, world.prompt, float("nan")),
    "a weight in words": lambda world: api.apply(world.model, world.adapter, world.prompt, "strong"),
    "no mask": lambda world: api.apply(world.model, world.adapter, world.prompt, mask=torch.rand(3)),
    "another model": lambda world: api.apply(world.another, world.adapter, world.prompt),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_in_one_sentence(case, world):
    """By one of the kinds of errors that the module names."""
    with pytest.raises(api.IPAdapterError) as refused:
        WRONG[case](world)
    message = str(refused.value)
    assert type(refused.value).__name__ in api.__all__ and 30 < len(message) <= 1000 and "\n" not in message
    assert {name for name in DISPLAY_NAMES if name in message} <= IN_PYTHON, (
        "the page does not say what that is in Python"
    )
