"""Errors that only a script or another node pack can reach, through `ipadapter_core.api`."""

from pack.ipadapter_core import api
from pack.tools.miniature.executing import Step
from pack.tools.miniature.files import Workshop


def nothing_to_combine(shop: Workshop) -> Step:
    """A list that a program left empty."""
    return Step("a script", note="api.combine([])", make=lambda: api.combine([]))


def a_prompt_saved_nowhere(shop: Workshop) -> Step:
    """A folder that is not there."""
    prompt, path = shop.encoded(shop.adapter()), "no such folder/a.safetensors"
    note = f'api.save_prompt(prompt, "{path}")'
    return Step("a script", {"prompt": prompt}, note, make=lambda: api.save_prompt(prompt.value(), path))


PYTHON_GRAPHS = (nothing_to_combine, a_prompt_saved_nowhere)
