"""What `mannequin monitor` shows of runs that go on, are silent, gone or ended, in narrow and wide terminals."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from tasks.machine.load import Load
from tasks.watching.runs import RunProgress, RunState, StageProgress
from tasks.watching.view import runs_view
from tasks.watching.words import summary_line

STARTED = datetime.now(UTC) - timedelta(minutes=10)
LOAD = Load(
    cpu_percent=150.0,
    cores=2,
    memory_used=3_000_000_000,
    memory_total=24_000_000_000,
    disk_free=70_000_000_000,
    disk_total=100_000_000_000,
    gpus=(),
    run=None,
)


def stage(
    name: str, shards: int, known: int | None, rejected: dict[str, int], rate: float | None = None
) -> StageProgress:
    lost = sum(rejected.values())
    left = None if known is None or rate is None or shards >= known else 720.0
    return StageProgress(
        stage=name,
        shards=shards,
        made=shards // 2,
        known=known,
        rows_in=1000 * shards,
        rows_kept=1000 * shards - lost,
        rows_out=1000 * shards - lost,
        rejected=rejected,
        bytes=1_500_000 * shards,
        seconds=3.0,
        rate=rate,
        eta_s=left,
    )


def run(state: RunState = "running", said: str = "", stages: tuple[StageProgress, ...] = ()) -> RunProgress:
    known = [each for each in stages if each.known]
    return RunProgress(
        run="3f2a",
        flow="webbody",
        name="old-owl",
        state=state,
        said=said,
        started_at=STARTED,
        elapsed_s=600.0,
        host="machine-1",
        pid=4711,
        share=0.25 if known else None,
        eta_s=max((each.eta_s for each in stages if each.eta_s is not None), default=None),
        stages=stages,
    )


BUSY = (
    stage("download", 40, 40, {"http_gone": 310, "opted_out": 12, "tls_failed": 3, "dns_failed": 1}, 71.6),
    stage("people", 10, 40, {"person_score_low": 77}, 3.25),
    stage("identities", 1, None, {}),
)


def shown(width: int, alive: tuple[RunProgress, ...] = (), ended: tuple[RunProgress, ...] = ()) -> list[str]:
    """What a terminal of that many columns shows, line by line."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(runs_view(alive, ended, LOAD, "/data/store"))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(len(line) for line in lines) <= width
    return lines


def line_of(lines: list[str], word: str) -> list[str]:
    """The words of the one line that begins with a word, inside whatever frame."""
    (found,) = [line.strip("│ ").split() for line in lines if line.strip("│ ").startswith(word)]
    return found


def words(lines: list[str]) -> str:
    """All of it in one line, without frames."""
    return " ".join(" ".join(line.strip("│ ") for line in lines).split())


@pytest.mark.parametrize("width", [80, 160])
def test_a_run_shows_its_stages_how_fast_they_go_and_when_they_end(width: int) -> None:
    lines = shown(width, (run(stages=BUSY),))
    whole = "\n".join(lines)
    assert "webbody  old-owl" in whole
    assert "25.0%" in line_of(lines, "● running")
    for said in ("10 min 00 s gone", "machine-1, process 4711", "ETA 12 min 00 s ("):
        assert said in words(lines)
    made = [["5"], ["20"], ["-"]] if width == 160 else [[], [], []]
    sizes = [["15.0", "MB"], ["60.0", "MB"], ["1.5", "MB"]] if width == 160 else [[], [], []]
    people = ["10/40", *made[0], "10,000", "9,923", "3.25", "12", "min", "00", "s", *sizes[0], "77"]
    assert line_of(lines, "people")[1 : len(people) + 1] == people
    download = ["40/40", *made[1], "40,000", "39,674", "72", "-", *sizes[1], "326"]
    assert line_of(lines, "download")[1 : len(download) + 1] == download
    assert line_of(lines, "identities")[1:] == ["1", *made[2], "1,000", "1,000", "-", "-", *sizes[2], "-"]


def test_a_wide_terminal_names_reasons_and_a_narrow_one_counts() -> None:
    assert "326 http_gone 310, opted_out 12, tls_failed 3, ..." in "\n".join(shown(160, (run(stages=BUSY),)))
    assert line_of(shown(80, (run(stages=BUSY),)), "download")[-1].endswith("…")


def test_runs_that_are_silent_or_gone_say_what_that_means() -> None:
    silent, gone = run("silent", stages=BUSY), run("gone", stages=BUSY[:1])
    lines = shown(160, (silent,), (gone,))
    whole = "\n".join(lines)
    assert "? silent" in whole
    assert "Its machine has said nothing for a minute." in whole
    assert line_of(lines, "webbody  ")[1:4] == ["old-owl", "■", "gone"]
    assert "killed, or the machine went down. Run it again, it goes on." in whole


def test_what_a_run_failed_of_stands_beside_it() -> None:
    ended = (run("failed", "StoreError: the disk is full"), run("completed", stages=BUSY[:2]))
    lines = shown(160, ended=ended)
    assert lines[0] == "Nothing runs on the store /data/store."
    failed, completed = (line.split() for line in lines if line.startswith("webbody"))
    assert failed[2:] == ["✘", "failed", "10", "min", "00", "s", "0", "0", "StoreError:", "the", "disk", "is", "full"]
    assert completed[2:] == ["✔", "completed", "10", "min", "00", "s", "50", "25"]


def test_a_run_that_did_nothing_yet_says_so_and_knows_no_end() -> None:
    said = words(shown(80, (run(),)))
    assert "nothing found or made yet" in said
    assert "ETA not known" in said


def test_a_run_in_a_line_names_what_is_under_way_and_at_the_end_how_it_ended() -> None:
    assert summary_line(run(stages=BUSY)) == "people 10/40 (10,000 rows) · 12 min 00 s left"
    assert summary_line(run("completed", stages=BUSY)) == "completed after 10 min 00 s · 25 shards made, 26 found"
    assert not summary_line(run())
