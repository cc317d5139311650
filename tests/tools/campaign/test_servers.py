"""A campaign on real servers: one, and a real local cluster of Ray with two, of which one worker is killed."""

import json
import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from pack.tools.campaign.inventory import digest
from pack.tools.campaign.jobs import cleaned, files_named, jobs_of
from pack.tools.campaign.outcome import State
from pack.tools.campaign.plan import DEMO_GRAPH, EXAMPLES, read_plan
from pack.tools.campaign.worker import Setup, Worker
from pack.tools.environment import ROOT
from pack.tools.mcp_server.refusal import Folders

pytestmark = [pytest.mark.campaign, pytest.mark.tool, pytest.mark.server]

NO_RAY = sys.platform == "darwin" and platform.machine() == "x86_64"
SETUP = Setup(sys.executable, os.environ["COMFYUI_PATH"])


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """Twelve jobs of the demo world: two references, three prompts, two weights, few steps."""
    folder = tmp_path_factory.mktemp("campaign")
    for name in ("blue-stripes.png", "pink-dots.png"):
        (folder / name).write_bytes((EXAMPLES / "campaign" / name).read_bytes())
    graph = json.loads(DEMO_GRAPH.read_text(encoding="utf-8"))
    for node in graph.values():
        node["inputs"] |= {"steps": 6} if node["class_type"] == "KSampler" else {}
    (folder / "graph.json").write_text(json.dumps(graph))
    lists = "references: ['*.png']\nprompts: [a star, a heart, a ring]\nweights: [0.5, 1]\ngraph: graph.json\n"
    (folder / "plan.yaml").write_text(lists)
    return folder / "plan.yaml"


@pytest.fixture(scope="module")
def jobs(plan):
    """They."""
    folders = Folders((plan.parent.resolve(),))
    return jobs_of(read_plan(plan, folders), folders)[0]


@pytest.fixture(scope="module")
def one_server(jobs):
    """What one server makes of each job; it is killed after the first, and a broken workflow stands between."""
    worker, files = Worker(1, SETUP), files_named(job.graph for job in jobs)
    found = worker.look(files)
    assert not found.problem and all(found.models.values()) and found.versions["PyTorch"]

    def render(graph, job):
        return worker.render(job.key, graph, (job.reference.upload, cleaned(job.reference)), files, digest(found))

    made = [render(jobs[0].graph, jobs[0])]
    broken = json.loads(json.dumps(jobs[0].graph).replace("demo_world_ip_adapter", "nowhere"))
    failed = render(broken, jobs[0])
    os.kill(worker._server.pid, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    made += [render(job.graph, job) for job in jobs]
    worker.stop()
    return made, failed, worker


def test_campaign_on_one_server(one_server, jobs):
    """A dead server is started again, with the same bytes; a broken workflow is one sentence; another's models are unfit."""
    (first, *made), failed, worker = one_server
    assert [one.state for one in made] == [State.DONE] * 12 and first.image == made[0].image
    assert len({one.image for one in made}) == 12 and all(one.scores["similarity"] for one in made)
    assert failed.state is State.BROKEN and "nowhere" in failed.problem and "\n" not in failed.problem
    job = jobs[0]
    unfit = worker.render(job.key, job.graph, ("a.png", b""), [], "other")
    assert unfit.state is State.UNFIT and worker._server is None


def test_campaign_on_a_server_that_does_not_start(tmp_path):
    """One sentence."""
    worker = Worker(1, replace(SETUP, models=(str(tmp_path / "nowhere"),)))
    assert "nowhere" in worker.look([]).problem and "\n" not in worker.look([]).problem


def started(plan, out):
    """The command on two workers, in a process of its own."""
    command = [sys.executable, ROOT / "tools" / "run.py", "tools.campaign.main", plan, "--out", out, "--workers", "2"]
    return subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def below(process):
    """Every process that it started, by what runs."""
    return {child: " ".join(child.cmdline()) for child in psutil.Process(process.pid).children(recursive=True)}


def heard_at(processes):
    """The addresses that they listen at."""
    found = [one for process in processes if process.is_running() for one in process.net_connections("inet")]
    return {one.laddr.ip.removeprefix("::ffff:") for one in found if one.status == psutil.CONN_LISTEN}


@pytest.mark.skipif(NO_RAY, reason="Ray has no package for Macs with Intel processors")
def test_campaign_on_ray_survives_a_killed_worker(one_server, plan, jobs, tmp_path):
    """12 of 12, the bytes of one server, no half file, no server left over; a second run renders none."""
    running, out = started(plan, tmp_path / "out"), tmp_path / "out"
    seen = {}
    while running.poll() is None and len(list(out.glob("images/*.png"))) < 2:
        time.sleep(0.5)
    seen |= below(running)
    actor = next(process for process, said in seen.items() if said.startswith("ray::Actor"))
    servers = [process for process, said in seen.items() if "tethered.py" in said]
    theirs = [process for process in servers if actor in process.parents()]
    assert len(servers) == 2 and len(theirs) == 1
    assert heard_at(seen) == {"127.0.0.1"}  # nobody else can reach Ray or ComfyUI
    actor.kill()
    psutil.wait_procs(theirs, timeout=30)
    assert not theirs[0].is_running()  # its server went with it
    seen |= below(running)
    told, said = running.communicate(timeout=240)
    assert running.returncode == 0, said
    assert json.loads(told.splitlines()[-1]) | {"out": ""} == {
        "images": 12, "rendered": 12, "done": 12, "broken": 0, "lost": 0, "refused": 0, "out": ""
    }  # fmt: skip
    assert {path.name for path in out.glob("images/*")} == {job.name for job in jobs}  # and no half file
    for job, alone in zip(jobs, one_server[0][1:], strict=True):
        assert (out / "images" / job.name).read_bytes() == alone.image
    manifest = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert len({line["worker"] for line in manifest}) == 2 and {line["state"] for line in manifest} == {"done"}
    _, alive = psutil.wait_procs(seen, timeout=30)
    assert not [process for process in alive if "tethered.py" in seen[process] or seen[process].startswith("ray::")]
    again = started(plan, out)
    assert json.loads(again.communicate(timeout=120)[0].splitlines()[-1])["rendered"] == 0 and again.returncode == 0


def test_campaign_servers_end_with_their_starter(tmp_path):
    """However it ends: here it is killed, and cannot clean up. What it had put into a temporary folder is gone as well."""
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from tools.comfyui.server import ComfyServer\n"
        "import pathlib, os; (pathlib.Path(sys.argv[2]) / 'main.py').write_text('import time; time.sleep(600)')\n"
        "server = ComfyServer(pathlib.Path(sys.executable), pathlib.Path(sys.argv[2]))\n"
        "server._wait_until_ready = lambda: (print(server.pid, server.folder, flush=True), time.sleep(600))\n"
        "server.__enter__()\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", code, str(ROOT), str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    pid, folder = starter.stdout.readline().split(maxsplit=1)
    server = psutil.Process(int(pid))
    assert server.is_running() and Path(folder.strip()).is_dir()
    starter.kill()
    psutil.wait_procs([server], timeout=20)
    assert not server.is_running() and not Path(folder.strip()).exists()
    starter.communicate()
