import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.models.loaded import load_once


def test_threads_that_want_the_same_model_share_one_load():
    loads = []
    started = threading.Barrier(8)

    def ask(_):
        started.wait()
        return load_once(("same", "threads"), lambda: loads.append(1) or object())

    with ThreadPoolExecutor(8) as pool:
        models = set(map(id, pool.map(ask, range(8))))
    assert len(models) == len(loads) == 1


def test_another_key_is_another_model_and_does_not_wait():
    inside, go_on = threading.Event(), threading.Event()

    def slow():
        inside.set()
        assert go_on.wait(10)
        return "slow"

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(load_once, ("slow",), slow)
        assert inside.wait(10)
        assert load_once(("fast",), lambda: "fast") == "fast"
        go_on.set()
        assert waiting.result(10) == "slow"


def test_a_load_that_fails_is_tried_again():
    with pytest.raises(OSError, match="no disk"):
        load_once(("fails",), lambda: (_ for _ in ()).throw(OSError("no disk")))
    assert load_once(("fails",), lambda: "there") == "there"
