"""docs/python.md: its example runs as it stands, and its table names what there is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pack.ipadapter_core import api
from pack.tools.miniature.models import adapter_weights, randomise, tiny_model, widths_of
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
VISION = {"hidden_size": 1280, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 16, "image_size": 224,
          "patch_size": 14, "projection_dim": 1024}  # fmt: skip
MODEL = """
from loading import load_pack
load_pack()
from pack.tools.miniature.models import tiny_model
model = tiny_model("SD1.5", context_dim=768)
"""
AFTER = """
from ipadapter_core.patchers.hooks.wrappers import applications_of
assert len(applications_of(patched.model_options["transformer_options"])) == 1
assert not applications_of(model.model_options["transformer_options"])
assert len(again.references) == 4 and [one.weight for one in again.references] == [1, 1, 0.5, 0.5]
print("applied")
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """An adapter and an encoder of true widths with few layers."""
    folder = tmp_path_factory.mktemp("api")
    model = tiny_model("SD1.5", context_dim=768)
    save_file(adapter_weights("base", widths_of(model), 768, feature=1024), folder / "adapter.safetensors")
    encoder = randomise(CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION)), seed=2)
    encoder.save_pretrained(folder / "encoder")
    return {
        "ADAPTER": folder / "adapter.safetensors",
        "ENCODER": folder / "encoder",
        "PROMPT": folder / "a.safetensors",
    }


def test_the_example_runs(files, tmp_path):
    """In a process of its own, over ComfyUI and the pack's folder."""
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    places = files | {"COMFYUI": Path(sys.modules["comfy"].__path__[0]).parent, "PACK": ROOT}
    names = "\n".join(f"{name} = {str(place)!r}" for name, place in places.items())
    head, tail = example.split("from ipadapter_core import api\n")
    tools = f"sys.path.append({str(ROOT / 'tools')!r})"
    script = "\n".join((names, head, tools, MODEL, "from ipadapter_core import api", tail, AFTER))
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0 and "applied" in ran.stdout, ran.stderr[-2000:]


def test_the_table_names_what_there_is():
    """Every public name, and no other."""
    table = "\n".join(line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `"))
    named = set(re.findall(r"`(\w+)", table))
    assert named == set(api.__all__) - {"ImageEncoder", "ImagePrompt", "ManagedAdapter"}
    assert "`ImagePrompt`" in PAGE and "`ImageEncoder`" in PAGE
    assert all(getattr(api, name).__doc__ for name in api.__all__)
