"""Workers are compared by what they have, before anything is rendered."""

import pytest
from pack.tools.campaign.inventory import agreeing, digest, model_digests, pack_digest
from pack.tools.campaign.outcome import Inventory

pytestmark = [pytest.mark.campaign, pytest.mark.tool]


def one(number, models=None, device="cpu", problem="", **versions):
    """A worker with one model and version."""
    return Inventory(
        f"host/{number}", {"ComfyUI": "0.30.0"} | versions, models or {"a.ckpt": "1" * 64}, device, problem
    )


def test_campaign_leaves_out_workers_that_differ():
    """Most of those that can render decide; everybody else is a sentence with the name of what differs."""
    found = [one(1, {"a.ckpt": "2" * 64}), one(2), one(3, {"a.ckpt": ""}), one(4), one(5, problem="no memory")]
    found.append(one(6, ComfyUI="0.27.0"))
    chosen, said = agreeing(found)
    assert chosen is found[1] and digest(found[1]) == digest(found[3]) and len(said) == 4
    for words in ("host/1 is left out: its a.ckpt", "host/3 is left out: it has no file a.ckpt", "host/5 cannot render",
                  "host/6 is left out: its ComfyUI is 0.27.0, host/2 has 0.30.0"):  # fmt: skip
        assert any(sentence.startswith(words) for sentence in said), (words, said)


def test_campaign_without_a_worker_that_can():
    """A model that nobody has leaves nobody."""
    chosen, said = agreeing([one(1, {"a.ckpt": ""}), one(2, problem="no memory")])
    assert chosen is None and len(said) == 2


def test_campaign_says_that_devices_differ():
    """They may render: the sentence warns of last bits."""
    chosen, said = agreeing([one(1), one(2, device="cuda:0 H100")])
    assert chosen and len(said) == 1 and "different devices" in said[0]


def test_campaign_knows_models_by_content(tmp_path):
    """By name below any folder; a missing one is empty, two of a name are both in it."""
    for folder in ("checkpoints", "loras"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.ckpt").write_text(folder)
    folders = [tmp_path / "checkpoints", tmp_path / "loras"]
    found = model_digests(["a.ckpt", "b.ckpt"], folders)
    assert found["b.ckpt"] == "" and len(found["a.ckpt"].split()) == 2
    assert model_digests(["a.ckpt"], folders[:1])["a.ckpt"] in found["a.ckpt"]
    assert pack_digest() == pack_digest() and len(pack_digest()) == 16
