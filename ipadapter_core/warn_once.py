"""What is worth a line in the log, but not one for every layer of every step."""

import logging
from functools import cache

logger = logging.getLogger(__name__)


@cache
def warn_once(message: str) -> None:
    """Warns, once in the life of the process for each text."""
    logger.warning("IP-Adapter: %s", message)
