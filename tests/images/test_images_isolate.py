import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tasks.images.decode import MAX_PIXELS, DecodeError
from tasks.images.examine import Examined, examine
from tasks.images.isolate import Isolated, IsolationError
from tasks.images.sheet import encode_jpeg
from tasks.schema.rejections import Reason

HERE = Path(__file__).parent


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(HERE)
    import functions_that_fail

    before = psutil.Process().children()
    yield functions_that_fail.act
    assert psutil.Process().children() == before, "a child or a zombie is left"


def sizes(answers: list) -> list:
    return [a.reason if isinstance(a, DecodeError) else a["size"] for a in answers]


def test_answers_are_those_of_the_function_in_order(photo) -> None:
    pictures = [encode_jpeg(photo[: 40 * n]) for n in range(2, 8)]
    with Isolated(examine, {"max_pixels": MAX_PIXELS}) as isolated:
        first, second = isolated.map(pictures), isolated.map(pictures[::-1])
        assert isolated.map([]) == []
    assert first == second[::-1] == [examine(p, MAX_PIXELS) for p in pictures]
    assert [Examined.from_answer(a).facts.height for a in first] == [40 * n for n in range(2, 8)]


def test_what_crashes_and_hangs_is_named_and_the_rest_goes_on(act) -> None:
    pictures = [b"aa", b"C", b"bbb", b"D", b"S", b"c", b"P1", b"R", b"M", b"last"]
    with Isolated(act, {}, timeout_s=0.7) as isolated:
        answers = isolated.map(pictures)
    assert sizes(answers) == [
        2, Reason.DECODER_CRASHED, 3, Reason.IMAGE_UNREADABLE, Reason.DECODER_TIMED_OUT, 1, 2,
        Reason.DECODER_TIMED_OUT, Reason.IMAGE_BOMB, 4,
    ]  # fmt: skip
    assert answers[1].detail == "the decoder died: SIGSEGV"
    assert answers[4].detail == "no answer within 0.7 s"


def test_a_picture_may_have_options_of_its_own(act) -> None:
    import functions_that_fail

    with Isolated(functions_that_fail.repeat, {"times": 2}) as isolated:
        assert isolated.map([b"a", b"b", b"c"], [{}, {"times": 3}, {"end": "."}]) == ["aa", "bbb", "cc."]
        assert isolated.map([b"a"]) == ["aa"]
        with pytest.raises(ValueError, match="longer"):
            isolated.map([b"a", b"b"], [{}])


def test_a_crash_that_a_picture_does_not_repeat_alone_is_not_its_fault(act) -> None:
    import functions_that_fail

    with Isolated(functions_that_fail.dies_of_the_third, {}) as isolated:
        assert isolated.map([b"x" * n for n in range(1, 8)]) == list(range(1, 8))


def test_pictures_larger_than_any_pipe(act) -> None:
    pictures = [b"x" * (8 << 20), b"C" * (8 << 20), b"y" * (8 << 20)]
    with Isolated(act, {}) as isolated:
        assert sizes(isolated.map(pictures)) == [8 << 20, Reason.DECODER_CRASHED, 8 << 20]


def test_a_defect_of_ours_is_no_verdict(act) -> None:
    with Isolated(act, {}) as isolated, pytest.raises(IsolationError, match="ZeroDivisionError: a defect"):
        isolated.map([b"B"])


def test_a_child_that_cannot_start_says_why(act) -> None:
    def nowhere(data: bytes) -> None: ...

    with Isolated(nowhere, {}) as isolated, pytest.raises(IsolationError, match=r"does not start[\s\S]*Error"):
        isolated.map([b"x"])


def test_credentials_stay_with_the_parent(act, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "secret")
    with Isolated(act, {}) as isolated:
        (answer,) = isolated.map([b"x"])
        assert "HF_TOKEN" not in psutil.Process(answer["pid"]).environ()


def _crashes(_: int) -> list:
    import functions_that_fail

    with Isolated(functions_that_fail.act, {}) as isolated:
        return sizes(isolated.map([b"a", b"C", b"bb"]))


@pytest.mark.slow
def test_threads_each_with_a_child(act) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(_crashes, range(2))) == [[1, Reason.DECODER_CRASHED, 2]] * 2


def test_the_child_outlives_the_thread_that_started_it(act) -> None:
    with ExitStack() as stack:
        with ThreadPoolExecutor(1) as pool:
            isolated = pool.submit(stack.enter_context, Isolated(act, {})).result()
            before = pool.submit(isolated.map, [b"x"]).result()
        time.sleep(0.2)
        assert isolated.map([b"x"]) == before


@pytest.mark.slow
def test_daemonic_pool_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(HERE)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_crashes, (0,)) == [1, Reason.DECODER_CRASHED, 2]


@pytest.mark.slow
@pytest.mark.parametrize("state", ["idle", "busy"])
def test_no_orphan_when_the_parent_is_killed(state: str) -> None:
    path = os.pathsep.join([str(HERE), *sys.path])
    parent = subprocess.Popen(
        [sys.executable, str(HERE / "parent_that_dies.py"), state],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    with parent:
        child = psutil.Process(int(parent.stdout.readline()))
        if state == "idle":
            parent.send_signal(signal.SIGKILL)
        parent.wait()
        until = time.monotonic() + 10
        while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:  # no init may be there to reap it
            assert time.monotonic() < until, "the child outlives its parent"
            time.sleep(0.05)
