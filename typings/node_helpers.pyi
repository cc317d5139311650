from collections.abc import Mapping
from typing import Any

def conditioning_set_values(
    conditioning: list[Any], values: Mapping[str, Any] = {}, append: bool = False
) -> list[Any]: ...
