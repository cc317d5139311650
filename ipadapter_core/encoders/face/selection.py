"""Which faces of an image count, and what to do with an image that shows none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from ...errors import FaceAnalysisError


class FaceOrder(str, Enum):
    """In which order the faces of an image are numbered; the index says which number is taken."""

    LARGEST = "largest"
    CENTRAL = "most central"
    LEFT_TO_RIGHT = "left to right"
    HIGHEST_CONFIDENCE = "surest"
    ALL = "all"


class NoFace(str, Enum):
    """What becomes of an image in which the wanted face is not found."""

    SKIP = "skip"
    REPEAT = "repeat"
    FAIL = "fail"


@dataclass(frozen=True)
class Choice:
    """How faces are chosen."""

    pick: FaceOrder = FaceOrder.LARGEST
    index: int = 0
    no_face: NoFace = NoFace.SKIP


class Chosen(NamedTuple):
    """One image's faces in their order, and the numbers of those that are taken."""

    faces: list[Any]
    taken: tuple[int, ...]


def choose(faces: Sequence[Any], choice: Choice, size: tuple[int, int]) -> Chosen:
    """Orders the faces of an image of `size` (height, width) and takes one of them, or all."""
    ordered = sorted(faces, key=_key(choice.pick, size))
    if choice.pick is FaceOrder.ALL:
        return Chosen(ordered, tuple(range(len(ordered))))
    return Chosen(ordered, (choice.index,) if choice.index < len(ordered) else ())


def _key(pick: FaceOrder, size: tuple[int, int]) -> Callable[[Any], float]:
    height, width = size

    def area(face: Any) -> float:
        left, top, right, bottom = face.bbox
        return -float((right - left) * (bottom - top))

    def distance(face: Any) -> float:
        left, top, right, bottom = face.bbox
        return float(((left + right - width) / 2) ** 2 + ((top + bottom - height) / 2) ** 2)

    def place(face: Any) -> float:
        return float(face.bbox[0] + face.bbox[2])

    def doubt(face: Any) -> float:
        return -float(face.det_score)

    keys = {FaceOrder.LARGEST: area, FaceOrder.CENTRAL: distance, FaceOrder.HIGHEST_CONFIDENCE: doubt}
    return keys.get(pick, place)


def sources(found: Sequence[bool], no_face: NoFace) -> list[int | None]:
    """For each image the one whose faces it uses: its own, another's when it has none, or none at all.

    An image without a face repeats the one before it, or the first with one when there is none before.
    Raises `FaceAnalysisError` with the numbers of the images under "fail", and when there is nothing to repeat.
    """
    missing = [number for number, there in enumerate(found) if not there]
    if missing and (no_face is NoFace.FAIL or (no_face is NoFace.REPEAT and not any(found))):
        numbers = ", ".join(str(number) for number in missing[:20]) + (" ..." if len(missing) > 20 else "")
        raise FaceAnalysisError(
            f"no face in {len(missing)} of {len(found)} images (numbers {numbers}, counted from 0): give images with a "
            "face that is not cut off, lower index, or set no_face of Encode Face to skip"
        )
    if no_face is NoFace.SKIP:
        return [number if there else None for number, there in enumerate(found)]
    last = next(number for number, there in enumerate(found) if there)
    result: list[int | None] = []
    for number, there in enumerate(found):
        last = number if there else last
        result.append(last)
    return result
