"""An image prompt on its way from ComfyUI: read with the pack's own checks and written anew, without anything beside it."""

import tempfile
from pathlib import Path

from .pixels import MOST_BYTES, decoded
from .refusal import Refused, short

SHOWN = "the image prompt that ComfyUI saved"


def rewritten_prompt(data: bytes) -> bytes:
    """A PNG of the same prompt and pixels. Raises `Refused` for what holds no prompt, or one that is broken or too large."""
    # late, because torch takes seconds that the start of the server must not
    import torch

    from ...ipadapter_core.errors import ImagePromptError
    from ...ipadapter_core.limits import PNG_PROMPT_BYTES
    from ...ipadapter_core.prompt.files import load_prompt, save_prompt
    from ...ipadapter_core.prompt.png_text import text_bytes

    if len(data) > (most := text_bytes(PNG_PROMPT_BYTES) + MOST_BYTES):
        raise Refused(f"{SHOWN} has {len(data):,} bytes, at most {most:,} are read: take fewer references")
    image = decoded(data, SHOWN)
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).reshape(image.height, image.width, 3)
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "prompt.png"
            file.write_bytes(data)
            save_prompt(load_prompt(file), file, shown=pixels)
            return file.read_bytes()
    except ImagePromptError as error:
        raise Refused(f"{SHOWN} cannot be kept: {short(error)}") from error
    except OSError as error:
        raise Refused(f"{SHOWN} cannot be written: {short(error.strerror or error)}") from error
