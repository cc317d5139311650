from collections.abc import Sequence
from typing import Any

def convert_cond(cond: Sequence[Sequence[Any]]) -> list[dict[str, Any]]: ...
