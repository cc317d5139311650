"""What the tools answer with: the schemas that an agent's host sees."""

from typing import Literal

from pydantic import BaseModel

State = Literal["done", "running", "failed", "cancelled"]


class Scores(BaseModel):
    similarity: float | None
    palette: float | None
    prompt: float | None
    sharpness: float | None


class Scored(Scores):
    job: str
    state: State
    next: str


class Made(BaseModel):
    image: str
    weight: float
    purpose: str
    seed: int
    scores: Scores


class JobAnswer(BaseModel):
    job: str
    state: State
    total: int
    images: list[Made]
    scores: Scores | None
    sheet: str | None
    problems: list[str]
    next: str


class Character(BaseModel):
    name: str
    purpose: str
    weight: float
    references: list[str]
    image_prompt: str | None


class Saved(Character):
    job: str
    state: State
    next: str


class Characters(BaseModel):
    characters: list[Character]


class Installed(BaseModel):
    comfyui: str
    device: str
    adapters: list[str]
    encoders: list[str]
    checkpoints: list[str]
    purposes: list[str]
    characters: int
    allowed_folders: list[str]
