"""Faults in a live server: a cancelled prompt, files that vanish, two prompts at once, a restart between queue and run."""

import copy
import os
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from pack.tools.comfyui.api_prompt import graph_file, node, set_inputs
from pack.tools.comfyui.client import ComfyClient, GraphError, Prompt
from pack.tools.comfyui.server import ROOT, ComfyServer
from pack.tools.demo.picture_grid import pixels

pytestmark = [pytest.mark.trust, pytest.mark.server]
DEMO_FILE = ROOT / "demo" / "weights" / "ipadapter" / "demo_world_ip_adapter.safetensors"
LONG = 5000  # steps: minutes, unless it is cancelled


def graph(client: ComfyClient, steps: int = 3, **inputs) -> Prompt:
    """The demo's own, short."""
    prompt = graph_file("demo_text_and_reference", client.object_info())
    set_inputs(prompt, "KSampler", steps=steps, **inputs)
    return prompt


def image_of(client: ComfyClient, prompt: Prompt, outputs: dict) -> bytes:
    """The pixels that a prompt saved."""
    return pixels(client.picture(outputs[node(prompt, "SaveImage")]["images"][0])).tobytes()


def image(client: ComfyClient, prompt: Prompt) -> bytes:
    """Queued and waited for."""
    return image_of(client, prompt, client.run(prompt))


def until_running(client: ComfyClient, name: str, seconds: float = 60) -> None:
    """Waits until a prompt is being executed."""
    end = time.monotonic() + seconds
    while name not in [entry[1] for entry in client.get("/queue")["queue_running"]]:
        assert time.monotonic() < end
        time.sleep(0.05)


def interrupt(client: ComfyClient) -> None:
    """The button."""
    client._open("/interrupt", b"{}", {"Content-Type": "application/json"})


def test_the_image_after_a_cancelled_prompt_is_right(client):
    """Cancelled while it samples, which takes minutes otherwise."""
    right = image(client, graph(client, seed=31))
    name = client.queue(graph(client, steps=LONG, seed=32))
    until_running(client, name)
    time.sleep(1)
    interrupt(client)
    with pytest.raises(GraphError, match="interrupted"):
        client.wait(name, seconds=60)
    again = graph(client, seed=31)
    set_inputs(again, "SaveImage", filename_prefix="after")  # so that something has to run
    set_inputs(again, "IPAdapterCoreApply", weight=0.5)
    image(client, again)
    set_inputs(again, "IPAdapterCoreApply", weight=1.0)
    assert image(client, again) == right


def test_an_adapter_that_vanishes_while_its_prompt_waits(client, adapters):
    """The file's name and what to do, and the next prompt is right."""
    right = image(client, graph(client, seed=33))
    file = adapters / "vanishing.safetensors"
    file.write_bytes(DEMO_FILE.read_bytes())
    waiting = graph(client, seed=34)
    set_inputs(waiting, "IPAdapterCoreLoad", ip_adapter_name=file.name)
    before = client.queue(graph(client, steps=LONG, seed=35))
    until_running(client, before)
    name = client.queue(waiting)
    file.unlink()
    interrupt(client)
    with pytest.raises(GraphError, match="vanishing.safetensors"):
        client.wait(name, seconds=60)
    again = graph(client, seed=33)
    set_inputs(again, "SaveImage", filename_prefix="vanished")
    assert image(client, again) == right


def test_a_reference_that_vanishes_while_its_prompt_waits(client, server, tmp_path):
    """ComfyUI's own node says it; the prompt after it, with the reference back, gives the image that it always gave."""
    reference = tmp_path / "vanishing.png"
    reference.write_bytes((ROOT / "workflows" / "demo_text_and_reference.jpg").read_bytes())
    prompt = graph(client, seed=36)
    place = node(prompt, "DemoWorldPicture")
    prompt[place] = {"class_type": "LoadImage", "inputs": {"image": client.upload(reference)}}
    right = image(client, prompt)
    before = client.queue(graph(client, steps=LONG, seed=37))
    until_running(client, before)
    waiting = copy.deepcopy(prompt)
    waiting[place]["inputs"]["image"] = client.upload(reference.rename(tmp_path / "gone.png"))
    name = client.queue(waiting)
    (server.folder / "input" / "gone.png").unlink()
    interrupt(client)
    with pytest.raises(GraphError, match="gone.png"):
        client.wait(name, seconds=60)
    assert image(client, prompt) == right


def test_two_prompts_at_once(client):
    """Posted from two threads, again and again: each gets its own image."""
    prompts = [graph(client, seed=seed) for seed in (38, 39)]
    set_inputs(prompts[1], "IPAdapterCoreApply", weight=0.4)
    right = [image(client, prompt) for prompt in prompts]
    wrong: list[int] = []

    def post(place: int) -> None:
        for turn in range(3):
            prompt = copy.deepcopy(prompts[place])
            set_inputs(prompt, "IPAdapterCoreEncode", fit=("top", "center")[turn % 2])
            client.run(prompt)
            wrong.extend([place] * (image(client, prompts[place]) != right[place]))

    threads = [threading.Thread(target=post, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_server_that_restarts_between_queue_and_run(tmp_path):
    """What waited is gone, as ComfyUI keeps no queue; posted again it gives the image that it gave before."""
    arguments = (Path(sys.executable), Path(os.environ["COMFYUI_PATH"]))
    with ComfyServer(*arguments, folder=tmp_path) as server:
        client = ComfyClient(server.url)
        prompt = graph(client, seed=40)
        right = image(client, prompt)
        until_running(client, client.queue(graph(client, steps=LONG, seed=41)))
        client.queue(prompt)
        psutil.Process(server.pid).kill()
    with ComfyServer(*arguments, folder=tmp_path) as server:
        client = ComfyClient(server.url)
        assert client.get("/queue") == {"queue_running": [], "queue_pending": []}
        assert image(client, prompt) == right
