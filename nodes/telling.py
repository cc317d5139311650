"""What loader nodes tell in the browser before anything runs: it comes with their definitions, `web/telling.js` shows it."""

from typing import Any

from ..ipadapter_core.presets.catalogue import Preset
from ..ipadapter_core.presets.identify import known_adapters
from ..ipadapter_core.presets.told import known_encoders, told_of, told_of_preset
from .folders import adapters_by_name, encoders_by_name


def adapters_told() -> dict[str, Any]:
    """Each adapter by name, and the names of the image encoders whose fit is known."""
    encoders = known_encoders(encoders_by_name())
    told = {name: told_of(path, encoders) for name, path in adapters_by_name().items()}
    return {
        "adapters": {name: one._asdict() for name, one in told.items() if one},
        "encoders": list(encoders),
    }


def presets_told() -> dict[str, str]:
    """What each preset would take, by base model."""
    adapters, encoders = known_adapters(adapters_by_name().values()), known_encoders(encoders_by_name())
    return {preset.value: told_of_preset(preset, adapters, encoders) for preset in Preset}
