"""What the tools do, without the protocol: characters, images, scores and sweeps over one ComfyUI and one graph."""

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import anyio.to_thread

from ..comfyui import titled
from ..comfyui.client import ComfyClient, Prompt
from ..comfyui.kept_prompts import keeping, recipe, saved_entry, with_kept
from . import pixels
from .answers import Installed, Made, Scores
from .jobs import Job, Jobs, Run
from .prompt_png import rewritten_prompt
from .refusal import Folders, Refused, name_of, short
from .shelf import Card, Shelf, content_name

T = TypeVar("T")
Images = dict[str, bytes]  # cleaned references by the names of their contents

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
        self.jobs = Jobs(client)

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

    async def save_character(self, name: str, references: list[str], purpose: str, weight: float) -> Job:
        """Queues the image prompt of cleaned references. Nothing is written before it is there; `Refused` says why not."""
        self.shelf.check_room(name_of(name))
        self._check_purpose(purpose)
        images = _named([pixels.reference(self.folders.file(text)) for text in references])
        card = Card(name, purpose, weight, list(images), f"{self._asked(recipe, self.graph, tuple(images))}.png")
        graph = keeping(self.graph, await self._sent(images), name)
        job = Job([Run(graph, functools.partial(self._kept, card, images, graph))], character=name)
        await self.jobs.start(job)
        return job

    async def _kept(self, card: Card, images: Images, graph: Prompt, _: str, outputs: dict[str, Any]) -> None:
        data = await self.jobs.ask(self.client.picture, saved_entry(graph, outputs))
        self.shelf.keep(card, images, await anyio.to_thread.run_sync(rewritten_prompt, data))

    async def start(self, wish: Wish, weights: list[float], seeds: list[int], sweep: bool = False) -> Job:
        """Queues an image for each weight and seed; without weights the wish's own."""
        if (count := max(1, len(weights)) * len(seeds)) > MOST_IMAGES:
            raise Refused(f"{count} images are asked for, at most {MOST_IMAGES} in one call: fewer weights or seeds")
        card, images = self._card(wish)
        names, kept = await self._sent(images), await self._kept_prompt(card)
        fills = [
            titled.Fill(names, wish.prompt, weight, card.purpose, seed, wish.size)
            for weight, seed in itertools.product(weights or [card.weight], seeds)
        ]
        job = Job([self._run(fill, kept) for fill in fills], sweep)
        await self.jobs.start(job)
        return job

    async def _kept_prompt(self, card: Card) -> str | None:
        """A character's image prompt, uploaded; None where there is none of this graph's making."""
        if card.prompt != f"{self._asked(recipe, self.graph, tuple(card.references))}.png":
            return None
        file = self.shelf.prompt(card.prompt)
        return file and await self.jobs.ask(self.client.upload, file)

    def _run(self, fill: titled.Fill, kept: str | None) -> Run:
        graph = self._asked(titled.filled, self.graph, fill)
        graph = self._asked(with_kept, graph, kept) if kept else graph
        return Run(graph, functools.partial(self._made, fill, graph))

    async def _made(self, fill: titled.Fill, graph: Prompt, name: str, outputs: dict[str, Any]) -> Made:
        data = await self.jobs.ask(self.client.picture, titled.image_entry(graph, outputs))
        file = self.shelf.keep_image(name, pixels.rewritten(data, "ComfyUI's image"))
        scores = await self._scored(graph, name, outputs)
        return Made(image=str(file), weight=fill.weight, purpose=fill.purpose, seed=fill.seed, scores=scores)

    async def score(self, image: str, wish: Wish) -> Job:
        """Queues the scoring of an image on disk, beside a character or a reference."""
        png = pixels.reference(self.folders.file(image))
        _, images = self._card(wish)
        first, *names = [*await self._sent(_named([png])), *await self._sent(images)]
        graph = titled.scoring(self.graph, first, tuple(names), wish.prompt)
        job = Job([Run(graph, functools.partial(self._scored, graph))])
        await self.jobs.start(job)
        return job

    async def _scored(self, graph: Prompt, _: str, outputs: dict[str, Any]) -> Scores:
        return Scores(**titled.scores(graph, outputs))

    def sheet(self, job: Job) -> bytes | None:
        """The contact sheet of a sweep that is over, kept beside its images."""
        made = [run.made for run in job.runs if isinstance(run.made, Made)]
        if not job.sweep or job.state == "running" or not made:
            return None
        cells = [(f"weight {one.weight:g}  seed {one.seed}", Path(one.image).read_bytes()) for one in made]
        png = pixels.sheet(cells)
        job.sheet = str(self.shelf.keep_image(f"{job.name}-sheet", png))
        return png

    def _card(self, wish: Wish) -> tuple[Card, Images]:
        """The character, or the one reference as a character without a name, with the call's own words over it."""
        if (wish.character is None) == (wish.reference is None):
            raise Refused("name either a character or a reference, not both and not neither")
        if wish.character is not None:
            card = self.shelf.card(wish.character)
            images = {name: self.shelf.reference(name) for name in card.references}
        else:
            images = _named([pixels.reference(self.folders.file(wish.reference or ""))])
            card = Card("", PURPOSE, WEIGHT, list(images))
        purpose = wish.purpose or card.purpose
        self._check_purpose(purpose)
        return replace(card, purpose=purpose, weight=card.weight if wish.weight is None else wish.weight), images

    async def _sent(self, images: Images) -> tuple[str, ...]:
        """Uploads images; their names there."""
        return tuple([await self.jobs.ask(self.client.upload_bytes, name, data) for name, data in images.items()])

    def _asked(self, function: Callable[..., T], *arguments: Any) -> T:
        """What a function of graphs says; a graph that cannot serve is one sentence."""
        try:
            return function(*arguments)
        except titled.TitleError as error:
            raise Refused(short(error)) from error

    def _check_purpose(self, purpose: str) -> None:
        if purpose not in (known := titled.purposes(self.graph)):
            raise Refused(f"purpose is {short(purpose)!r}, expected one of {known}")


def _named(images: list[bytes]) -> Images:
    return {content_name(png): png for png in images}
