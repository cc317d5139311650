"""An image prompt inside a PNG: the image that a person sees, and in a text of it the bytes of the safetensors file.

Whatever carries images from one machine to another carries the prompt with it; a program that writes the image anew drops it.
"""

import base64
import io
from pathlib import Path
from typing import IO

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ..checkpoint.file_cache import FileCache
from ..errors import ImagePromptError
from ..limits import PNG_PROMPT_BYTES
from .image_prompt import ImagePrompt
from .png_text import KEYWORD, SIGNATURE, PNGTextError, find_text, is_png, read_text, text_bytes
from .stored import StoredPromptError


def with_prompt(stored: bytes, shown: Tensor) -> bytes:
    """A PNG of 8-bit pixels (H, W, 3) with a stored prompt in it. Raises `ImagePromptError` for prompts over the limit."""
    if len(stored) > PNG_PROMPT_BYTES:
        raise ImagePromptError(
            f"an image prompt of {len(stored)} bytes, expected at most {PNG_PROMPT_BYTES} inside a PNG: choose safetensors as "
            "the form in Save Image Prompt, or take fewer references"
        )
    info = PngInfo()
    info.add_text(KEYWORD, base64.b64encode(stored).decode("ascii"))
    written = io.BytesIO()
    Image.fromarray(shown.cpu().numpy()).save(written, "PNG", pnginfo=info)
    return written.getvalue()


def seen_images(prompt: ImagePrompt) -> list[Tensor]:
    """What the encoder saw of a prompt's images, (H, W, 3) of 8 bits each.

    Raises `ImagePromptError` where nothing is known of it, as of faces and of prompts that were loaded.
    """
    images = {id(one.image): one.image.seen for one in prompt.references}
    found = [seen for seen in images.values() if seen is not None]
    if not found:
        raise ImagePromptError(
            "this image prompt has no image that the PNG could show, as prompts of faces and loaded ones have none: connect "
            "the reference to image of Save Image Prompt, or choose safetensors as its form"
        )
    return found


def prompt_bytes(file: IO[bytes]) -> bytes:
    """The stored prompt in an open PNG.

    Raises `StoredPromptError` where there is none, or it is damaged or larger than the limit.
    """
    try:
        chunk = find_text(file, KEYWORD)
        text = None if chunk is None else read_text(file, chunk, text_bytes(PNG_PROMPT_BYTES))
    except PNGTextError as error:
        raise StoredPromptError(str(error)) from error
    if text is None:
        raise StoredPromptError(
            "it is an image without an image prompt, which programs that save an image anew leave out"
        )
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise StoredPromptError(
            f"the image prompt in the PNG is no whole base64 text of {len(text)} characters"
        ) from error


def _holds_prompt(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_png(file.read(len(SIGNATURE))) and find_text(file, KEYWORD) is not None
    except (OSError, PNGTextError):
        return False


holds_prompt = FileCache(_holds_prompt)  # whether a path leads to a PNG with an image prompt, for lists of files
