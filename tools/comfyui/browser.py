"""ComfyUI's own frontend in headless Chromium, through Playwright: open graphs, look, photograph.

Chromium is the system's: `apt-get install chromium`, or any whose path stands in CHROMIUM_PATH. Nothing is downloaded.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from .client import ComfyClient

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
           "--disable-sync", "--disable-quic", "--disable-dev-shm-usage"]  # fmt: skip
SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Workflow.ShowMissingNodesWarning": True,
            "Comfy.Minimap.Visible": False, "Comfy.Notification.ShowVersionUpdates": False,
            "LiteGraph.Canvas.MinFontSizeForLOD": 0}  # fmt: skip
NODES_AS_ELEMENTS = "Comfy.VueNodes.Enabled"  # "Nodes 2.0": elements of the page instead of drawings on a canvas
OURS = ("ipadapter-core", "ipadaptercore")  # what says in a console message that it is about this pack
REGISTRY = "https://api.comfy.org/"  # asked about packs by the frontend itself, from where nothing is let out
PROBED = "/en.md"  # a help page's translation is looked for before the page itself
INSTALL = (
    "no Chromium found: install it (Debian and Ubuntu: `apt-get install chromium`), or set CHROMIUM_PATH to the program"
)
WAIT = 120_000  # milliseconds; the frontend is large and the machine may be busy
PROBLEMS = """() => {
    const said = [];
    for (const node of window.app.graph.nodes) {
        if (!window.LiteGraph.registered_node_types[node.type]) said.push(`missing node ${node.type}`);
        if (node.has_errors) said.push(`${node.type} is marked red`);
        for (const widget of node.widgets ?? []) {
            const values = widget.options?.values;
            const choices = typeof values === 'function' ? values() : values;
            if (widget.type === 'combo' && Array.isArray(choices) && !choices.includes(widget.value))
                said.push(`${node.type}.${widget.name} has no value ${widget.value}`);
            if (typeof widget.value === 'number' && !Number.isFinite(widget.value))
                said.push(`${node.type}.${widget.name} is no number`);
        }
    }
    for (const [id, one] of Object.entries(window.app.extensionManager.lastNodeErrors ?? {}))
        said.push(`node ${id}: ${JSON.stringify(one)}`);
    for (const dialog of document.querySelectorAll('.p-dialog, [data-testid="error-overlay"]'))
        said.push(`a dialog: ${dialog.innerText.slice(0, 200)}`);
    return said;
}"""
HEIGHTS = """() => window.app.graph.nodes.map(node => {
    const element = document.querySelector(`[data-node-id="${node.id}"]`);
    const title = window.LiteGraph.NODE_TITLE_HEIGHT;
    return [node.id, Math.max(node.size[1], element ? element.offsetHeight - title : 0)];
})"""


class BrowserError(RuntimeError):
    """The browser cannot be started."""


def chromium() -> str:
    """The program's path; raises `BrowserError` with what to install when there is none."""
    given = os.environ.get("CHROMIUM_PATH")
    found = given or next(filter(None, map(shutil.which, NAMES)), None)
    if not found or not Path(found).exists():
        raise BrowserError(INSTALL)
    return found


class Frontend:
    """One page of ComfyUI's frontend; use it in a `with`. `elements` is which of its two ways of drawing nodes it has."""

    def __init__(self, url: str, size: tuple[int, int] = (1600, 1000), elements: bool = True):
        self.url, self.size, self.elements = url, size, elements
        self.errors: list[str] = []

    def __enter__(self) -> "Frontend":
        program = chromium()
        from playwright.sync_api import sync_playwright

        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=program, args=OPTIONS)
        width, height = self.size
        self.page = self._browser.new_page(viewport={"width": width, "height": height})
        self.page.set_default_timeout(WAIT)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._heard)
        self.load("en")
        return self

    def load(self, language: str) -> None:
        """Loads the page anew, in a language."""
        client = ComfyClient(self.url)
        for name, value in {**SETTINGS, NODES_AS_ELEMENTS: self.elements, "Comfy.Locale": language}.items():
            client.set(name, value)
        self.page.goto(self.url, wait_until="domcontentloaded")
        self.page.wait_for_function("() => window.app?.graph && window.app?.extensionManager")
        self.page.wait_for_timeout(2000)

    def _heard(self, message: Any) -> None:
        """Keeps what the console says of us as an error."""
        said = f"{message.text} {message.location.get('url', '')}".strip()
        of_us = any(one in said.lower() for one in OURS) and not said.endswith(PROBED) and REGISTRY not in said
        if message.type == "error" and of_us:
            self.errors.append(said)

    def __exit__(self, *_: Any) -> None:
        self._browser.close()
        self._playwright.stop()

    def open(self, workflow: dict[str, Any], name: str | None = None) -> None:
        """Loads a graph as dropping its file (called `name`) into the window does, and fits it into view."""
        self.page.evaluate("given => window.app.loadGraphData(given[0], true, true, given[1])", [workflow, name])
        self.page.wait_for_timeout(1000)
        self.fit()

    def problems(self) -> list[str]:
        """What is wrong with the open graph: missing nodes, values that do not exist, red marks, dialogs, script errors."""
        return [*self.page.evaluate(PROBLEMS), *self.errors]

    def values(self) -> dict[int, dict[str, Any]]:
        """The values of each node's widgets by the node's id."""
        found = self.page.evaluate(
            "() => window.app.graph.nodes.map(node => [node.id, (node.widgets ?? []).map(one => [one.name, one.value])])"
        )
        return {int(number): dict(widgets) for number, widgets in found}

    def shown_widgets(self, kind: str) -> int:
        """How many widgets the first node of a kind shows, without those that are folded away."""
        if self.elements:
            return self.element(kind).locator('[data-testid="node-widget"]').count()
        return self.page.evaluate(
            "kind => { const node = window.app.graph.nodes.find(node => node.type === kind);"
            " return node.widgets.filter(one => node.isWidgetVisible(one)).length; }",
            kind,
        )

    def overflowing(self, workflow: dict[str, Any]) -> list[str]:
        """The nodes of the open workflow that are drawn larger than its file says."""
        drawn = {int(number): height for number, height in self.page.evaluate(HEIGHTS)}
        sizes = {node["id"]: (node["type"], node["size"][1]) for node in workflow["nodes"]}
        return [
            f"{kind}: {drawn[number]} > {height}" for number, (kind, height) in sizes.items() if drawn[number] > height
        ]

    def element(self, kind: str) -> Any:
        """The first node of a kind as an element of the page."""
        number = self.page.evaluate("kind => window.app.graph.nodes.find(node => node.type === kind).id", kind)
        return self.page.locator(f'[data-node-id="{number}"]')

    def kinds(self) -> list[str]:
        """The kinds of the open workflow's nodes, in order."""
        return self.page.evaluate("() => window.app.graph.nodes.map(node => node.type)")

    def fit(self) -> None:
        """Brings the whole graph into view."""
        self.page.evaluate("() => window.app.extensionManager.command.execute('Comfy.Canvas.FitView')")
        self.page.wait_for_timeout(1000)

    def queue(self) -> None:
        """Presses Run, and waits until pictures stand in every node that shows some."""
        self.page.evaluate("() => window.app.queuePrompt(0, 1)")
        self.page.wait_for_function(
            "() => { const shown = window.app.graph.nodes.filter(node => node.constructor.nodeData?.output_node);"
            " return shown.length && shown.every(node => node.imgs?.length && node.imgs.every(i => i.naturalWidth)); }"
        )
        self.page.wait_for_timeout(1000)

    def app(self) -> list[str]:
        """What the form of a workflow that has opened as an app says, line by line; its tour is closed."""
        form = self.page.get_by_test_id("linear-widgets")
        form.wait_for()
        self.page.wait_for_timeout(1000)
        for tour in self.page.get_by_text("Skip", exact=True).all():
            tour.click()
        return form.inner_text().splitlines()

    def run_app(self, images: int) -> None:
        """Presses the form's Run, and waits until it shows that many images."""
        self.page.get_by_test_id("linear-run-button").get_by_role("button", name="Run", exact=True).click()
        self.page.wait_for_function(
            "count => { const shown = [...document.querySelectorAll('[data-testid=\"linear-outputs\"] img')];"
            " return shown.length >= count && shown.every(one => one.naturalWidth); }",
            arg=images,
        )

    def help(self, kind: str) -> str:
        """Opens the help panel of the first node of a kind; returns its text."""
        self.select(kind)
        self.page.get_by_test_id("info-button").click()
        panel = self.page.locator(".node-help-content")
        panel.wait_for()
        self.page.wait_for_timeout(2000)
        return panel.inner_text()

    def told(self) -> dict[str, str]:
        """What nodes of ours tell of their files, by their kinds; of those whose text is seen."""
        return self.page.evaluate(
            "() => Object.fromEntries(window.app.graph.nodes.flatMap(node => (node.widgets ?? [])"
            " .filter(one => one.name === 'told' && one.element.getClientRects()[0]?.height > 10)"
            " .map(one => [node.type, one.element.innerText])))"
        )

    def choose(self, kind: str, name: str, value: str) -> None:
        """Sets a widget of the first node of a kind as its list does."""
        self.page.evaluate(
            "given => { const widget = window.app.graph.nodes.find(node => node.type === given[0])"
            " .widgets.find(one => one.name === given[1]); widget.value = given[2]; widget.callback?.(given[2]); }",
            [kind, name, value],
        )
        self.page.wait_for_timeout(500)

    def missing_models(self) -> list[str]:
        """What the frontend's panel says of files that are not there, line by line."""
        self.page.get_by_test_id("error-overlay-see-errors").click()
        rows = self.page.get_by_test_id("missing-model-importable-rows")
        rows.wait_for()
        return rows.inner_text().splitlines()

    def replace_old_nodes(self) -> None:
        """Goes from the frontend's warning to its panel, and lets it put new nodes in the place of those that it offers."""
        self.page.get_by_test_id("error-overlay-see-errors").click()
        self.page.get_by_text("Replace Node", exact=True).first.click()
        self.page.wait_for_timeout(1000)

    def select(self, kind: str) -> None:
        """Selects the first node of a kind."""
        self.page.evaluate(
            "kind => { const node = window.app.graph.nodes.find(node => node.type === kind);"
            " window.app.canvas.deselectAll(); window.app.canvas.selectNode(node); }",
            kind,
        )
        self.page.wait_for_timeout(1000)

    def card(self, kind: str, file: Path) -> None:
        """Saves a picture of one node alone, as it comes from the node library."""
        self.page.evaluate(
            "kind => { const app = window.app; app.graph.clear(); const node = window.LiteGraph.createNode(kind);"
            " node.pos = [0, 0]; app.graph.add(node); app.canvas.ds.scale = 1.25; app.canvas.ds.offset = [120, 120];"
            " app.canvas.setDirty(true, true); }",
            kind,
        )
        self.page.wait_for_timeout(2500)
        file.parent.mkdir(parents=True, exist_ok=True)
        self.page.locator("[data-node-id]").first.screenshot(path=str(file), type="jpeg", quality=90)

    def photograph(self, file: Path, **options: Any) -> None:
        """Saves what is seen."""
        file.parent.mkdir(parents=True, exist_ok=True)
        kind = {"type": "jpeg", "quality": 88} if file.suffix == ".jpg" else {}
        self.page.screenshot(path=str(file), **kind, **options)
