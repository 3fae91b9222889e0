"""Functions for a child process that really fail, chosen by the first byte of a "picture"."""

import os
import re
import signal
import time
from typing import Any

from tasks.images.decode import DecodeError
from tasks.images.examine import examine
from tasks.schema.rejections import Reason

_seen = 0


def act(data: bytes) -> dict[str, int]:
    match data[:1]:
        case b"C":
            os.kill(os.getpid(), signal.SIGSEGV)
            time.sleep(60)
        case b"S":
            time.sleep(3600)
        case b"R":
            re.match(rb"(a+)+$", b"a" * 64 + b"b")  # native code that holds the interpreter for ever
        case b"M":
            return {"size": len(bytearray(1 << 40))}
        case b"D":
            raise DecodeError(Reason.IMAGE_UNREADABLE, "says the function")
        case b"B":
            raise ZeroDivisionError("a defect")
        case b"P":
            os.write(1, b"a library talks\n")
    return {"size": len(data), "pid": os.getpid()}


def examine_or_die(data: bytes, max_pixels: int) -> dict[str, Any]:
    """Dies or hangs on pictures that say so at their end, as native decoders do."""
    if data.endswith(b"die"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if data.endswith(b"hang"):
        time.sleep(3600)
    return examine(data, max_pixels)


def repeat(data: bytes, times: int, end: str = "") -> str:
    return data.decode() * times + end


def dies_of_the_third(data: bytes) -> int:
    """Fails by what it saw before, never by the picture at hand."""
    global _seen  # noqa: PLW0603
    _seen += 1
    if _seen == 3:
        os.kill(os.getpid(), signal.SIGSEGV)
    return len(data)
