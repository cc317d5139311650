"""Which check belongs to which type of socket."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from torch import Tensor

from comfy_api.latest import io

from ..ipadapter_core.inputs.curves import read_curve
from ..ipadapter_core.inputs.features import read_features
from ..ipadapter_core.inputs.images import read_images, read_opaque_images
from ..ipadapter_core.inputs.latents import read_conditioning, read_latents
from ..ipadapter_core.inputs.masks import read_masks
from ..ipadapter_core.inputs.numbers import read_count, read_number, read_numbers
from ..ipadapter_core.inputs.texts import read_file_prefix, read_text

EMBEDS, PARAMS, CURVE = "EMBEDS", "IPADAPTER_PARAMS", "CURVE"  # types that other packs use too
FILE_PREFIX = "filename_prefix"  # texts of this name become names of files
SEED = "seed"
SEEDS = 2**63  # our seeds end below it, those of other packs at twice as much

Reader = Callable[[Any, Any, Any, str], Any]


def _image(node: Any, _declared: Any, value: Any, where: str) -> Any:
    return (read_images if node.reads_alpha else read_opaque_images)(value, where)


def _mask(_node: Any, _declared: Any, value: Any, where: str) -> Any:
    return read_masks(value, where)


def _number(node: Any, _declared: Any, value: Any, where: str) -> Any:
    if node.takes_lists and isinstance(value, list | tuple):
        return read_numbers(cast(Sequence[Any], value), where)
    return read_number(value, where)


def _count(_node: Any, declared: Any, value: Any, where: str) -> int:
    if declared.id == SEED:
        return read_count(value, where, 0, 2 * SEEDS - 1) % SEEDS
    return read_count(value, where, declared.min, declared.max)


def _text(_node: Any, declared: Any, value: Any, where: str) -> str:
    return (read_file_prefix if declared.id == FILE_PREFIX else read_text)(value, where)


def _embeds(_node: Any, _declared: Any, value: Any, where: str) -> Any:
    return read_features(value, where) if isinstance(value, Tensor) else value


def _curve(_node: Any, _declared: Any, value: Any, where: str) -> Any:
    return read_curve(value, where)


def _latents(_node: Any, _declared: Any, value: Any, where: str) -> Any:
    return read_latents(value, where)


def _conditioning(_node: Any, _declared: Any, value: Any, where: str) -> Any:
    return read_conditioning(value, where)


def _params(_node: Any, _declared: Any, value: Any, where: str) -> Any:
    """Rows of other packs, too: a list of images and one of masks among their columns."""
    if not isinstance(value, Mapping):
        return value
    columns = dict(cast(Mapping[str, Any], value))
    for column, read in (("image", read_images), ("attn_mask", read_masks)):
        parts = columns.get(column, ())
        columns[column] = [part if part is None else read(part, f"{column} in {where}") for part in parts]
    return columns


READERS: dict[str, Reader] = {
    CURVE: _curve,
    EMBEDS: _embeds,
    PARAMS: _params,
    io.Conditioning.io_type: _conditioning,
    io.Image.io_type: _image,
    io.Latent.io_type: _latents,
    io.Mask.io_type: _mask,
    io.Float.io_type: _number,
    io.Int.io_type: _count,
    io.String.io_type: _text,
}
