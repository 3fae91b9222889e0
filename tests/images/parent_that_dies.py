"""A parent for the orphan test: starts a child, says its pid, then works it with the pictures of its arguments."""

import os
import sys
import threading

import functions_that_fail

from tasks.images.isolate import Isolated


def work() -> None:
    with Isolated(functions_that_fail.act, {}, timeout_s=1.0) as isolated:
        (answer,) = isolated.map([b"ok"])
        print(answer["pid"], flush=True)
        if sys.argv[1] == "busy":
            threading.Timer(0.3, os.kill, (os.getpid(), 9)).start()
            isolated.map([b"R"])
        threading.Event().wait()


threading.Thread(target=work).start()
