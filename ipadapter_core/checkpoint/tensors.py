"""Whether the numbers in a file's tensors can be computed with."""

from collections.abc import Mapping

from torch import Tensor

from ..errors import CheckpointError
from ..limits import LARGEST
from ..quoting import listed, quoted

NAMED = 3  # tensors that a message names


def check_numbers(tensors: Mapping[str, Tensor], file: str) -> None:
    """Raises `CheckpointError` where a tensor holds a NaN, an infinity or a number that is no weight.

    Reads each number once and writes none.
    """
    broken = [name for name, tensor in tensors.items() if not is_finite(tensor)]
    if broken:
        raise CheckpointError(
            f"{quoted(file)}: {listed(broken, NAMED)} hold NaN, infinity or numbers beyond {LARGEST}: the file is damaged "
            "or its training failed; download it again or choose another file in Load IP-Adapter"
        )


def is_finite(tensor: Tensor) -> bool:
    """Whether all numbers are finite and of a size to compute with; the extremes are NaN as soon as one number is."""
    wide = tensor.float() if tensor.element_size() == 1 else tensor
    return all(-LARGEST <= end.item() <= LARGEST for end in wide.aminmax())
