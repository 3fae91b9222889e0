"""A list of URLs through the stage: every row is a photo or a reason."""

import io
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pytest
from PIL import Image

from tasks.download.fetching import Machine, Patience
from tasks.download.stage import SCRATCH_PREFIX, Download, DownloadConfig
from tasks.download.transport import NetworkAccess, TransportLimits
from tasks.images.decode import decode_rgb
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tests.download.conftest import LOCAL
from tests.download.listed import ListedUrls, ListedUrlsConfig
from tests.download.url_server import UrlServer, jpeg, url_rows

SIDE = 160
QUICK = DownloadConfig(
    image_px=SIDE,
    limits=TransportLimits(total_timeout_s=1.5, max_body_bytes=1 << 20),
    patience=Patience(pause_s=0.2, longest_wait_s=2.0),
)
MACHINE = Machine(threads=32, per_host=8)

PATHS = {
    **{f"/ok/{number}": None for number in range(40)},
    "/close/": None,
    "/chunked/": None,
    "/flaky/1": None,
    "/resetonce/1": None,
    "/limited/1/a": None,
    "/robots/otherbot: noai": None,
    "/tdm/0": None,
    "/redirect//ok/3": None,
    "/file/gray.png": None,
    "/file/alpha.png": None,
    "/file/turned.jpg": None,
    "/file/cmyk.jpg": None,
    "/file/deep.png": None,
    "/status/404": Reason.HTTP_GONE,
    "/status/410": Reason.HTTP_GONE,
    "/status/403": Reason.HTTP_REFUSED,
    "/status/500": Reason.HTTP_SERVER_ERROR,
    "/redirect/file:///etc/passwd": Reason.REDIRECT_REFUSED,
    "/redirect/http://169.254.169.254/": Reason.REDIRECT_REFUSED,
    "/loop/": Reason.REDIRECT_REFUSED,
    "/robots/noai": Reason.OPTED_OUT,
    "/tdm/1": Reason.OPTED_OUT,
    "/lying/": Reason.RESPONSE_NO_IMAGE,
    "/truncated/": Reason.RESPONSE_TRUNCATED,
    "/endless/": Reason.RESPONSE_TOO_LARGE,
    "/slow/5": Reason.RESPONSE_TIMED_OUT,
    "/drip/": Reason.RESPONSE_TIMED_OUT,
    "/cut/": Reason.IMAGE_TRUNCATED,
    "/file/broken.jpg": Reason.IMAGE_UNREADABLE,
    "/file/tiny.png": Reason.IMAGE_TOO_SMALL,
    "/file/bomb.png": Reason.IMAGE_BOMB,
    "/file/wide.png": Reason.IMAGE_TOO_LARGE,
}


def picture(mode: str = "RGB", size: tuple[int, int] = (90, 60), kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(5).integers(0, 256, (*size[::-1], 4), np.uint8)
    Image.fromarray(noise, "RGBA").convert("RGB").convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def claims(width: int, height: int) -> bytes:
    """A PNG that says to be that large."""
    import struct
    import zlib

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(head)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return start + bytes(300)


def deep() -> bytes:
    """16 bits a channel."""
    import cv2

    ramp = np.linspace(0, 65535, 90 * 60 * 3).reshape(60, 90, 3).astype(np.uint16)
    return bytes(cv2.imencode(".png", ramp)[1])


def turned() -> bytes:
    """Red on top, as it is seen; stored lying on its side (EXIF orientation 6)."""
    upright = np.zeros((120, 80, 3), np.uint8)
    upright[:60, :, 0] = 255
    upright[60:, :, 2] = 255
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8825)[1] = "N"
    Image.fromarray(np.rot90(upright)).save(stream, "JPEG", quality=95, exif=exif)
    return stream.getvalue()


FILES = {
    "gray.png": picture("L"),
    "alpha.png": picture("RGBA"),
    "turned.jpg": turned(),
    "cmyk.jpg": picture("CMYK", kind="JPEG"),
    "deep.png": deep(),
    "broken.jpg": jpeg(1)[:100] + bytes(5000) + jpeg(1)[-2:],
    "tiny.png": picture(size=(31, 300)),
    "bomb.png": claims(60_000, 60_000),
    "wide.png": claims(12_000, 9_000),
}


@dataclass(frozen=True)
class Run:
    """What a run gave, and how its server saw it."""

    paths: list[str]
    kept: dict[str, dict[str, Any]]
    rejected: dict[str, Rejection]
    order: list[str]
    facts: dict[str, Any]
    server: UrlServer
    scratch: Path


def run_stage(stage: Download, urls: list[str]) -> tuple[pa.Table, list[Rejection], dict[str, Any]]:
    outputs = list(stage.process(iter([url_rows(urls)])))
    kept = pa.concat_tables([pa.table(output.kept).select(stage.schema.names).cast(stage.schema) for output in outputs])
    facts: dict[str, Any] = {}
    for output in outputs:
        facts |= output.facts
    return kept, [rejection for output in outputs for rejection in output.rejected], facts


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    scratch = tmp_path_factory.mktemp("scratch")
    with UrlServer() as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(scratch))
        server.files = FILES
        paths = list(PATHS)
        urls = [server.url(path.replace(" ", "%20"), f"127.0.0.{2 + n % 9}") for n, path in enumerate(paths)]
        kept, rejected, facts = run_stage(Download(QUICK, LOCAL, MACHINE), urls)
        named = {f"list/{number:06d}": path for number, path in enumerate(paths)}
        yield Run(
            paths,
            {named[row["sample_id"]]: row for row in kept.to_pylist()},
            {named[rejection.sample_id]: rejection for rejection in rejected},
            kept["sample_id"].to_pylist(),
            facts,
            server,
            scratch,
        )


def test_every_row_is_kept_or_has_its_reason(run: Run) -> None:
    found = {path: run.rejected[path].reason if path in run.rejected else None for path in run.paths}
    assert found == PATHS
    assert not run.kept.keys() & run.rejected.keys()


def test_kept_rows_come_in_the_order_of_the_list(run: Run) -> None:
    assert run.order == sorted(run.order)


def test_a_photo_is_resized_inside_a_white_border(run: Run) -> None:
    row = run.kept["/ok/1"]
    assert (row["width"], row["height"], row["original_width"], row["original_height"]) == (SIDE, SIDE, 300, 200)
    assert row["content_xyxy"] == [0, 26, SIDE, 133]
    pixels = decode_rgb(row["image"]["bytes"])
    assert pixels.shape == (SIDE, SIDE, 3)
    assert (pixels[:12] > 250).all()
    assert (pixels[148:] > 250).all()
    assert (row["idx"], row["label"], row["http_status"], row["attempt"]) == ("1", "label-1", 200, 0)
    assert row["url"] == row["source_uri"] == row["final_url"]


def test_what_the_server_said_is_kept(run: Run) -> None:
    assert json.loads(run.kept["/tdm/0"]["headers"])["tdm-reservation"] == "0"
    assert run.kept["/redirect//ok/3"]["final_url"].endswith("/ok/3")
    assert run.kept["/ok/1"]["sha256"] != run.kept["/ok/2"]["sha256"]


def test_a_turned_photo_stands_upright_and_says_nothing_of_places(run: Run) -> None:
    row = run.kept["/file/turned.jpg"]
    assert (row["original_width"], row["original_height"]) == (80, 120)
    left, top, right, bottom = map(int, row["content_xyxy"])
    inner = decode_rgb(row["image"]["bytes"])[top:bottom, left:right].astype(int)
    assert inner[: len(inner) // 3, :, 0].mean() > 200 > 60 > inner[-len(inner) // 3 :, :, 0].mean()
    exif = json.loads(row["exif"])
    assert "Rotated 90 CW" in exif["Image Orientation"]
    assert exif["Image Make"] == "Maker"
    assert not [name for name in exif if "GPS" in name]


def test_every_kind_of_picture_is_stored_as_colour(run: Run) -> None:
    for path in ("/file/gray.png", "/file/alpha.png", "/file/cmyk.jpg", "/file/deep.png"):
        with Image.open(io.BytesIO(run.kept[path]["image"]["bytes"])) as image:
            assert (image.mode, image.size, image.format) == ("RGB", (SIDE, SIDE), "JPEG")


def test_failures_carry_evidence(run: Run) -> None:
    evidence = json.loads(run.rejected["/status/500"].evidence or "")
    assert evidence["status"] == 500
    assert evidence["tries"] == 2
    assert evidence["label"] == f"label-{run.paths.index('/status/500') % 7}"
    assert evidence["last_seen"].endswith("+00:00")
    said_no = json.loads(run.rejected["/robots/noai"].evidence or "")
    assert said_no["headers"]["x-robots-tag"] == "noai"
    assert "noai" in said_no["opt_out"]
    assert run.rejected["/robots/noai"].source_uri.endswith("/robots/noai")


def test_only_what_may_pass_is_tried_twice_and_never_at_once(run: Run) -> None:
    asked = {path: run.server.asked(path) for path in PATHS}
    assert asked["/status/404"] == asked["/lying/"] == asked["/robots/noai"] == 1
    assert asked["/status/500"] == asked["/flaky/1"] == asked["/resetonce/1"] == 2
    times = [at for path, at, _ in run.server.requests if path == "/limited/1/a"]
    assert times[1] - times[0] >= 1.0
    times = [at for path, at, _ in run.server.requests if path == "/flaky/1"]
    assert times[1] - times[0] >= 0.2


def test_a_host_sees_few_at_once(run: Run) -> None:
    assert max(run.server.most_active.values()) <= MACHINE.per_host


def test_facts_tell_the_traffic(run: Run) -> None:
    assert run.facts["requests"] > len(PATHS)
    assert run.facts["received_bytes"] > sum(len(jpeg(1)) for _ in range(50))


def test_nothing_is_left_behind(run: Run) -> None:
    assert not list(run.scratch.glob(f"{SCRATCH_PREFIX}*"))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("download")]
    assert not [child for child in psutil.Process().children() if "tasks.images.child" in " ".join(child.cmdline())]


def test_home_is_refused_unless_allowed(server: UrlServer) -> None:
    kept, rejected, _ = run_stage(
        Download(QUICK, NetworkAccess(), MACHINE), [server.url("/ok/1"), "file:///etc/passwd"]
    )
    assert kept.num_rows == 0
    assert [each.reason for each in rejected] == [Reason.ADDRESS_REFUSED, Reason.URL_MALFORMED]
    assert not server.requests


def test_a_server_that_dies_is_left_alone(server: UrlServer) -> None:
    """Hundreds of URLs of a dead host cost a few connections."""
    server.stop()
    started = time.monotonic()
    _, rejected, facts = run_stage(Download(QUICK, LOCAL, MACHINE), [server.url(f"/ok/{n}") for n in range(300)])
    assert {each.reason for each in rejected} == {Reason.CONNECTION_FAILED}
    assert len(rejected) == 300
    assert facts["requests"] < 40
    assert time.monotonic() - started < 5


def test_a_server_that_wants_peace_gets_it(server: UrlServer) -> None:
    _, rejected, _ = run_stage(
        Download(QUICK, LOCAL, Machine(per_host=1)), [server.url(f"/away/900/{n}") for n in range(50)]
    )
    assert {each.reason for each in rejected} == {Reason.HTTP_RATE_LIMITED}
    assert {json.loads(each.evidence or "")["retry_after_s"] for each in rejected} == {900.0}
    assert len(server.requests) == 1


def test_an_empty_list_keeps_its_columns(tmp_path: Path) -> None:
    outcome = realise(
        Derivation(Download(QUICK), (Derivation(ListedUrls(ListedUrlsConfig(urls=()))),)), Store(tmp_path)
    )
    assert (outcome.record.rows_in, outcome.record.rows_kept) == (0, 0)


def test_what_the_operator_decides_is_no_part_of_the_key() -> None:
    one = Download(QUICK, LOCAL, Machine(threads=1))
    assert one.params() == Download(QUICK).params()
    assert "allow_networks" not in json.dumps(one.params())
