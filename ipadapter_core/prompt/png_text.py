"""A text inside a PNG, as ComfyUI keeps workflows in images: found by its keyword, and read without looking at a pixel.

A chunk is its length in four bytes, four letters, the data, and a checksum (PNG, third edition, section 11.3.3).
"""

import struct
import zlib
from typing import IO, NamedTuple

from ..limits import PNG_CHUNKS

KEYWORD = "ipadapter_core_image_prompt"  # of an image prompt
SIGNATURE = b"\x89PNG\r\n\x1a\n"
KINDS = (b"tEXt", b"zTXt", b"iTXt")  # plain, deflated, and either with a language
PIXELS = (b"IDAT", b"IEND")
KEYWORD_BYTES = 79  # at most, by the standard
FIELDS = 1_000  # bytes beside the text in a chunk: keyword, language and the keyword in that language
CUT = "the PNG is cut short"


class PNGTextError(ValueError):
    """What is wrong with a PNG or the text in it, without the file's name."""


class TextChunk(NamedTuple):
    """Where a text lies: the letters of its chunk, the place of its data, and their length in bytes."""

    kind: bytes
    start: int
    length: int


def text_bytes(stored: int) -> int:
    """How many bytes of text so many bytes are, in base64."""
    return (stored + 2) // 3 * 4


def is_png(start: bytes) -> bool:
    """Whether a file that begins so is a PNG."""
    return start.startswith(SIGNATURE)


def find_text(file: IO[bytes], keyword: str) -> TextChunk | None:
    """The text of a keyword before a PNG's pixels, None without one; of other chunks no more is read than their names.

    Raises `PNGTextError` where the file ends before its pixels, or has more chunks than image programs write.
    """
    place = len(SIGNATURE)
    for _ in range(PNG_CHUNKS):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            raise PNGTextError(CUT)
        length, kind = struct.unpack(">I4s", head)
        if kind in PIXELS:
            return None
        if kind in KINDS and file.read(min(length, KEYWORD_BYTES + 1)).partition(b"\0")[0] == keyword.encode("latin-1"):
            return TextChunk(kind, place + 8, length)
        place += 12 + length
    raise PNGTextError(f"the PNG has more than {PNG_CHUNKS} parts before its pixels")


def read_text(file: IO[bytes], chunk: TextChunk, most: int) -> bytes:
    """The text of a chunk.

    Raises `PNGTextError` where it is damaged, or longer than `most` bytes; a deflated one is stopped there.
    """
    if chunk.length > most + FIELDS:
        raise PNGTextError(f"{chunk.length} bytes of text, at most {most} are read")
    file.seek(chunk.start)
    data, check = file.read(chunk.length), file.read(4)
    if len(data) < chunk.length or len(check) < 4:
        raise PNGTextError(CUT)
    if struct.pack(">I", zlib.crc32(chunk.kind + data)) != check:
        raise PNGTextError("the PNG is damaged: the checksum of the image prompt in it does not fit")
    deflated, text = _parts(chunk.kind, data)
    if deflated:
        text = _inflated(text, most)
    if len(text) > most:
        raise PNGTextError(f"more than {most} bytes of text")
    return text


def _parts(kind: bytes, data: bytes) -> tuple[bool, bytes]:
    """Whether a chunk's text is deflated, and the text as it stands."""
    _, _, rest = data.partition(b"\0")
    if kind == b"tEXt":
        return False, rest
    if kind == b"zTXt":
        return True, rest[1:]
    _, _, rest_after_language = rest[2:].partition(b"\0")
    return rest[:1] == b"\1", rest_after_language.partition(b"\0")[2]


def _inflated(data: bytes, most: int) -> bytes:
    """A deflated text, of which no more is made than `most` bytes and one."""
    stream = zlib.decompressobj()
    try:
        text = stream.decompress(data, most + 1)
    except zlib.error as error:
        raise PNGTextError("the deflated text in the PNG is damaged") from error
    if len(text) <= most and not stream.eof:
        raise PNGTextError(CUT)
    return text
