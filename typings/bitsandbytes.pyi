from typing import Any

optim: Any
