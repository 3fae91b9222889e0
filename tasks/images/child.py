"""The process that may die: `python -m tasks.images.child <what to do, JSON>`, started by `isolate`.

Reads pictures from standard input, each after the options of its own (JSON); both are 8 bytes of big-endian size, then
the bytes. Writes one JSON line for each to what was standard output; a first line says that it is ready, others in
between that it is alive. Ends when its input ends or its parent is gone.
"""

import importlib
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from tasks.schema.rejections import Reason
from tasks.shards.watchdog import SIGN_EVERY_S, signs_go_to

PARENT_CHECK_S = 2.0


def main() -> None:
    """Serve until the input ends."""
    task = json.loads(sys.argv[1])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a native library prints must not reach the answers
    function = getattr(importlib.import_module(task["module"]), task["function"])
    _limit_memory(task["memory_bytes"])
    _say(answers, {"ready": True})
    with os.fdopen(0, "rb", buffering=0) as pictures:
        while True:
            _wait_for_input(task["parent"])
            own, picture = _message(pictures), _message(pictures)
            if own is None or picture is None:
                return
            # a hung decoder cannot be interrupted from Python; the kernel ends it, should the parent be gone by then
            signal.setitimer(signal.ITIMER_REAL, task["hang_guard_s"])
            with signs_go_to(_now_and_then(lambda: _say(answers, {"alive": True}))):
                answer = _answer(function, picture, {**task["options"], **json.loads(own)})
            signal.setitimer(signal.ITIMER_REAL, 0)
            _say(answers, answer)


def _answer(function: Callable[..., Any], picture: bytes, options: dict[str, Any]) -> dict[str, Any]:
    from tasks.images.decode import DecodeError

    try:
        return {"value": function(picture, **options)}
    except DecodeError as error:
        return {"reason": error.reason.value, "detail": error.detail}
    except MemoryError:
        return {"reason": Reason.IMAGE_BOMB.value, "detail": "needs more memory than a picture may"}
    except Exception:  # noqa: BLE001 - a defect of ours: told to the parent, which raises it
        return {"defect": traceback.format_exc()}


def _now_and_then(say: Callable[[], None]) -> Callable[[], None]:
    """Say it, unless it was said less than `SIGN_EVERY_S` ago."""
    last = time.monotonic()

    def sign() -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= SIGN_EVERY_S:
            last = now
            say()

    return sign


def _say(answers: IO[str], answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _wait_for_input(parent: int) -> None:
    while not select.select([0], [], [], PARENT_CHECK_S)[0]:
        if os.getppid() != parent:
            os._exit(0)


def _message(stream: IO[bytes]) -> bytes | None:
    size = _read(stream, 8)
    return None if size is None else _read(stream, int.from_bytes(size, "big"))


def _read(stream: IO[bytes], size: int) -> bytes | None:
    """Exactly `size` bytes, or None where the input ends."""
    data = bytearray(size)
    filled = 0
    while filled < size:
        count = stream.readinto(memoryview(data)[filled:])  # type: ignore[attr-defined]
        if not count:
            return None
        filled += count
    return bytes(data)


def _limit_memory(budget: int) -> None:
    """Allow `budget` bytes of address space beyond what the interpreter and its libraries take."""
    taken = 0
    with suppress(OSError):
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (taken + budget, taken + budget))
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
