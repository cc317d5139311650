"""An adapter is tuned in a real server, on the demo world: the workflow of `workflows/` runs, and its image shows the brand."""

import io
from pathlib import Path

import numpy as np
import pytest
from pack.tools.comfyui.api_prompt import graph_file, node
from PIL import Image
from safetensors import safe_open

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def run(client):
    """The prompt, and what its nodes showed."""
    prompt = graph_file("demo_train_adapter", client.object_info())
    return prompt, client.run(prompt)


def images(client, run, kind, title=None):
    """What a node showed, (B, H, W, 3) in 0..1."""
    prompt, outputs = run
    shown = [client.picture(entry) for entry in outputs[node(prompt, kind, title)]["images"]]
    return np.stack([np.asarray(Image.open(io.BytesIO(one)).convert("RGB")) for one in shown]) / 255


def dots(pictures):
    """The share of each image that is as brown as the dots of the brand's orange."""
    return ((pictures.mean(-1) < 0.38) & (pictures[..., 2] < 0.25) & (pictures[..., 0] < 0.62)).mean(axis=(1, 2))


def test_the_brand_is_learned(client, run):
    """Dots on orange, of which the adapter as shipped carries little: half as many again in each image, twice in all."""
    before, after = (dots(images(client, run, "SaveImage", title)) for title in ("Before", "After"))
    assert (after > 1.5 * before).all() and after.mean() > 2 * before.mean()


def test_what_is_shown(client, run):
    """The loss, and a strip of the reference and three previews."""
    assert images(client, run, "LossGraphNode").shape[1] > 64
    assert images(client, run, "SaveImage", "Previews").shape == (1, 64, 4 * 64, 3)


def test_what_is_saved(client, run, server):
    """A file that Load IP-Adapter offers, which says what it was made from; and a checkpoint to go on from."""
    prompt, outputs = run
    name = outputs[node(prompt, "IPAdapterCoreSaveAdapter")]["text"][0].splitlines()[0]
    offered = client.get("/object_info/IPAdapterCoreLoad")["IPAdapterCoreLoad"]["input"]["required"]["ip_adapter_name"]
    assert name in str(offered)
    output = Path(server.folder) / "output"
    with safe_open(output / "ipadapter" / name, "pt") as file:
        assert file.metadata()["training_images"] == "24"
    assert len(list((output / "ipadapter_training").glob("demo_*.safetensors"))) == 1
