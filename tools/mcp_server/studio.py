"""What the tools do, without the protocol: characters, images, scores and sweeps over one ComfyUI and one graph."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..comfyui import titled
from ..comfyui.client import ComfyClient, Prompt
from . import pixels
from .answers import Installed, Scores
from .jobs import Job, Jobs, Run
from .refusal import Folders, Refused, name_of, short
from .shelf import Card, Shelf

MOST_NAMES = 40  # of files, in an answer
MOST_IMAGES = 12  # of a sweep
WEIGHT, PURPOSE = 0.8, "style"  # where neither the call nor the character says
WIDGETS = {
    "adapters": ("IPAdapterCoreLoad", "ip_adapter_name"),
    "encoders": ("CLIPVisionLoader", "clip_name"),
    "checkpoints": ("CheckpointLoaderSimple", "ckpt_name"),
}


@dataclass(frozen=True)
class Wish:
    """What an agent asks for; None is the character's own, or the default."""

    prompt: str
    character: str | None = None
    reference: str | None = None
    purpose: str | None = None
    weight: float | None = None
    size: int | None = None


class Studio:
    """Everything that one server of the protocol works with."""

    def __init__(self, client: ComfyClient, graph: Prompt, shelf: Shelf, folders: Folders):
        self.client, self.shelf, self.folders = client, shelf, folders
        self.graph = titled.checked(graph)
        self.jobs = Jobs(client, shelf)

    async def installed(self) -> Installed:
        """ComfyUI's version and device, and the files that its loaders offer."""
        stats = await self.jobs.ask(self.client.get, "/system_stats")
        if not await self.jobs.ask(self.client.get, "/object_info/IPAdapterCoreLoad"):
            raise Refused(f"the ComfyUI at {self.client.url} has no IP-Adapter Core: install the pack there")
        files = {name: await self._options(*widget) for name, widget in WIDGETS.items()}
        return Installed(
            comfyui=short(stats["system"]["comfyui_version"]),
            device=short(stats["devices"][0]["name"]),
            purposes=titled.purposes(self.graph),
            characters=len(self.shelf.names()),
            allowed_folders=[str(folder) for folder in self.folders.allowed],
            **files,
        )

    async def _options(self, node: str, widget: str) -> list[str]:
        info = await self.jobs.ask(self.client.get, f"/object_info/{node}")
        kind, *rest = info[node]["input"]["required"][widget] if node in info else [[]]
        return [short(one) for one in (kind if isinstance(kind, list) else rest[0]["options"])[:MOST_NAMES]]

    def save_character(self, name: str, references: list[str], purpose: str, weight: float) -> Card:
        """Keeps cleaned references and how to use them. Raises `Refused` before anything is written."""
        name_of(name)
        self._check_purpose(purpose)
        images = [pixels.reference(file) for file in [self.folders.file(text) for text in references]]
        card = Card(name, purpose, weight, [self.shelf.keep_reference(png) for png in images])
        self.shelf.keep(card)
        return card

    async def start(self, wish: Wish, weights: list[float], seeds: list[int], sweep: bool = False) -> Job:
        """Queues an image for each weight and seed; without weights the wish's own."""
        if (count := max(1, len(weights)) * len(seeds)) > MOST_IMAGES:
            raise Refused(f"{count} images are asked for, at most {MOST_IMAGES} in one call: fewer weights or seeds")
        card = self._card(wish)
        files = [self.shelf.reference(name) for name in card.references]
        names = tuple([await self.jobs.ask(self.client.upload, file) for file in files])
        fills = [
            titled.Fill(names, wish.prompt, weight, card.purpose, seed, wish.size)
            for weight, seed in itertools.product(weights or [card.weight], seeds)
        ]
        try:
            job = Job([Run(fill, titled.filled(self.graph, fill)) for fill in fills], sweep)
        except titled.TitleError as error:
            raise Refused(short(error)) from error
        await self.jobs.start(job)
        return job

    async def score(self, image: str, wish: Wish) -> Scores:
        """The scores of an image on disk, beside a character or a reference."""
        png = pixels.reference(self.folders.file(image))
        card = self._card(wish)
        files = [self.shelf.reference(name) for name in [self.shelf.keep_reference(png), *card.references]]
        first, *names = [await self.jobs.ask(self.client.upload, file) for file in files]
        graph = titled.scoring(self.graph, first, tuple(names), wish.prompt)
        outputs: dict[str, Any] = await self.jobs.ask(self.client.run, graph)
        return Scores(**titled.scores(graph, outputs))

    def sheet(self, job: Job) -> bytes | None:
        """The contact sheet of a sweep that is over, kept beside its images."""
        made = [run.made for run in job.runs if run.made]
        if not job.sweep or job.state == "running" or not made:
            return None
        cells = [(f"weight {one.weight:g}  seed {one.seed}", Path(one.image).read_bytes()) for one in made]
        png = pixels.sheet(cells)
        job.sheet = str(self.shelf.keep_image(f"{job.name}-sheet", png))
        return png

    def _card(self, wish: Wish) -> Card:
        """The character, or the one reference as a character without a name, with the call's own words over it."""
        if (wish.character is None) == (wish.reference is None):
            raise Refused("name either a character or a reference, not both and not neither")
        if wish.character is not None:
            card = self.shelf.card(wish.character)
        else:
            png = pixels.reference(self.folders.file(wish.reference or ""))
            card = Card("", PURPOSE, WEIGHT, [self.shelf.keep_reference(png)])
        purpose = wish.purpose or card.purpose
        self._check_purpose(purpose)
        return Card(card.name, purpose, card.weight if wish.weight is None else wish.weight, card.references)

    def _check_purpose(self, purpose: str) -> None:
        if purpose not in (known := titled.purposes(self.graph)):
            raise Refused(f"purpose is {short(purpose)!r}, expected one of {known}")
