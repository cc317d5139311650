"""The pack as the registry gets it: checked, zipped, installed from that zip into a ComfyUI of its own."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import tomlkit
import yaml
from pack.tools.comfyui.client import ComfyClient
from pack.tools.comfyui.server import ComfyServer, Mounts
from pack.tools.environment import ROOT
from pack.tools.node_texts import native_nodes
from pack.tools.workflows.catalogue import GRAPHS

pytestmark = pytest.mark.seeing

COMFY = [str(Path(sys.executable).with_name("comfy")), "--skip-prompt", "--no-enable-telemetry", "node"]
WANTED = {"__init__.py", "pyproject.toml", "requirements.txt", "README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE",
          "ipadapter_core", "nodes", "web", "workflows", "subgraphs", "locales"}  # fmt: skip
ENDINGS = {".js", ".py", ".md", ".json", ".jpg", ".toml", ".txt", ""}
PUBLISHED_GRAPHS = {name for name in GRAPHS if not name.startswith("demo")}  # the demo's nodes are not in the zip


def run(*command, cwd):
    """A command's output; fails with it when the command fails."""
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, capture_output=True, text=True, env=os.environ | {"COLUMNS": "200"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """What git would hold, in a repository of its own, so that packing leaves nothing here."""
    place = tmp_path_factory.mktemp("checkout")
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\n")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place / name)
    run("git", "init", "--quiet", cwd=place)
    run("git", "add", "--all", cwd=place)
    return place


@pytest.fixture(scope="module")
def zipped(checkout):
    """The zip that comfy-cli makes."""
    run(*COMFY, "pack", cwd=checkout)
    return checkout / "node.zip"


def test_seeing_validate_is_clean(checkout):
    """`comfy node validate` finds nothing, not even a warning of its security rules."""
    said = run(*COMFY, "validate", cwd=checkout)
    assert "passed successfully" in said
    assert not re.search(r"warning|error|S102|S307|E702", said, re.IGNORECASE), said


def test_seeing_zip_holds_what_it_should(zipped):
    """The pack, its help, workflows and translations; no tests, tools, demo, no caches."""
    with zipfile.ZipFile(zipped) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
    assert {name.split("/")[0] for name in names} == WANTED
    assert {Path(name).suffix for name in names} <= ENDINGS and not [name for name in names if "__pycache__" in name]
    assert {Path(name).stem for name in names if name.startswith("workflows/")} == PUBLISHED_GRAPHS
    blueprints = {file.name for file in (ROOT / "subgraphs").iterdir()}
    assert {Path(name).name for name in names if name.startswith("subgraphs/")} == blueprints
    assert zipped.stat().st_size < 4_000_000
    print(f"{len(names)} files, {zipped.stat().st_size / 1e6:.2f} MB")


@pytest.mark.server
def test_seeing_install_from_the_zip(zipped, tmp_path):
    """Unpacked into custom_nodes of a fresh ComfyUI: nodes, help, workflows and translations are served, nothing is said."""
    place = tmp_path / "custom_nodes" / "ipadapter-core"
    with zipfile.ZipFile(zipped) as archive:
        archive.extractall(place)
    python, comfyui = Path(sys.executable), Path(os.environ["COMFYUI_PATH"])
    with ComfyServer(python, comfyui, folder=tmp_path, mounts=Mounts(pack=place)) as server:
        client = ComfyClient(server.url)
        ours = {node.identity for node in native_nodes()}
        assert {name for name in client.object_info() if name.startswith("IPAdapterCore")} == ours
        assert set(client.get("/workflow_templates")["ipadapter-core"]) == PUBLISHED_GRAPHS
        assert all(ours <= client.get("/i18n")[language]["nodeDefs"].keys() for language in ("en", "zh", "ja", "de"))
        for name in ours:
            page = client._open(f"/extensions/ipadapter-core/docs/{name}.md").decode()
            for picture in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page):
                assert client._open(f"/extensions/ipadapter-core/docs/{picture}")[:2] == b"\xff\xd8"
        for name in PUBLISHED_GRAPHS:
            assert client._open(f"/api/workflow_templates/ipadapter-core/{name}.jpg")[:2] == b"\xff\xd8"
        assert isinstance(client.get("/node_replacements"), dict)
        log = server.log_text()
    said = [line for line in log.splitlines() if re.search("ipadapter.core|ip-adapter", line, re.IGNORECASE)]
    assert said and not [line for line in said if re.search("warn|error|fail|trace", line, re.IGNORECASE)]


def test_seeing_project_file():
    """What the registry asks for: a version that the changelog has, a licence file, an icon and a banner that are there."""
    project = tomlkit.parse((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["project"]["version"])
    assert f"## {project['project']['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert (ROOT / project["project"]["license"]["file"]).is_file()
    assert project["tool"]["comfy"].keys() >= {"DisplayName", "requires-comfyui"}
    for name, size in (("icon", (400, 400)), ("banner", (1260, 540))):  # the banner is 21 to 9
        text = (ROOT / "assets" / f"{name}.svg").read_text(encoding="utf-8")
        assert f'width="{size[0]}" height="{size[1]}"' in text


@pytest.mark.parametrize("name", ["tests", "publish"])
def test_seeing_workflows_of_github(name):
    """They parse, and what they call is there."""
    text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert ".ci/run" in commands if name == "tests" else "Comfy-Org/publish-node-action" in text
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
