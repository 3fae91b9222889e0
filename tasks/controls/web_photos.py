"""Photos that a server on this machine gives, and what the download makes of them."""

import io
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.controls.finding import Finding
from tasks.controls.passage import Came, Row
from tasks.controls.pictures import Photo, blocks, person, photo, stripes
from tasks.controls.planted import planted
from tasks.download.fetching import Machine
from tasks.download.stage import Download
from tasks.download.transport import NetworkAccess
from tasks.schema.errors import StoreError
from tasks.schema.rejections import Reason
from tasks.schema.webbody import URL_SCHEMA
from tasks.shards.derive import Derivation, committed
from tasks.shards.store import Store

REVISION: Final = 1

STAGE: Final = "download"

LEVELS: Final = 4.0
"""Of 255 by which a stored photo may differ from the planted one brought to its size, in the mean: 1.5 are measured."""

FLAT: Final = 16.0
"""Levels by which fine stripes, one of four columns white, may be off their mean once they are a quarter as large: 3
are measured where each pixel is a mean, 60 and more where pixels are skipped."""

_MEAN: Final = 255 / 4

_FIRST_PORT, _PORTS, _TRIES = 20_000, 20_000, 20

_SAYS: Final[Mapping[str, tuple[int, Mapping[str, str]]]] = {
    "control/gone": (404, {}),
    "control/noai": (200, {"X-Robots-Tag": "noai"}),
}


class PlantedUrls:
    """The photos behind the URLs, and what is true of them."""

    def __init__(self, stage: Download) -> None:
        self.config, self._respected = stage.config, stage.consent.rules.directives

    @cached_property
    def photos(self) -> dict[str, Photo]:
        """Sample -> what the server gives."""
        side = self.config.image_px
        board = blocks(side * 3 // 2, 1)
        made = (
            photo("control/wide", np.ascontiguousarray(board[: side * 9 // 10]), "JPEG"),
            photo("control/tall", np.ascontiguousarray(board[:, : side * 9 // 10]), "JPEG", 6),
            photo("control/small", blocks(side // 2, 2)),
            photo("control/fine", stripes(side // 2, 4 * side)),
            photo("control/person", person(11, 384).photo),
            photo("control/tiny", blocks(max(1, self.config.min_side_px - 1), 3)),
            photo("control/noai", blocks(side // 2, 4), "JPEG"),
            Photo("control/gone", board, b"", ""),
            Photo("control/text", board, b"<html>" + b"no picture " * 60, ""),
        )
        return {each.name: each for each in made}

    @property
    def ids(self) -> set[str]:
        return {*self.photos}

    @property
    def rejected(self) -> dict[str, Reason]:
        """Who must be left out."""
        said = {
            "control/tiny": Reason.IMAGE_TOO_SMALL,
            "control/gone": Reason.HTTP_GONE,
            "control/text": Reason.RESPONSE_NO_IMAGE,
        }
        return said | ({"control/noai": Reason.OPTED_OUT} if "noai" in self._respected else {})

    def rows(self, port: int) -> list[Row]:
        """Rows of `URL_SCHEMA`."""
        return [
            {"sample_id": name, "idx": str(n), "label": f"label {n}", "url": f"http://127.0.0.1:{port}/{name}.img"}
            for n, name in enumerate(self.photos)
        ]


@contextmanager
def local_urls(known: PlantedUrls, stage: Download, store: Store, mark: str) -> Iterator[tuple[Derivation, Derivation]]:
    """The URLs and their download; while they are not downloaded yet, a server of this process answers.

    The port follows from the mark, so that a download that was made is found again.

    Raises:
        StoreError: no port is free.
    """
    local = replace(
        stage, access=NetworkAccess(allow_networks=("127.0.0.0/8",)), machine=Machine(threads=4), tracking=None
    )
    first = int(sha256(mark.encode()).hexdigest()[:8], 16)
    for each in range(_TRIES):
        port = _FIRST_PORT + (first + each) % _PORTS
        urls = planted(
            "urls",
            REVISION,
            mark,
            URL_SCHEMA,
            partial(known.rows, port),
            port=port,
            side=known.config.image_px,
        )
        downloads = Derivation(local, (urls,))
        if committed(downloads, store) is not None:
            yield urls, downloads
            return
        try:
            server = _server(known, port)
        except OSError:
            continue
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield urls, downloads
        finally:
            server.shutdown()
            server.server_close()
        return
    raise StoreError(f"None of {_TRIES} ports from {_FIRST_PORT} on is free for the controls: end what holds them.")


def _server(known: PlantedUrls, port: int) -> ThreadingHTTPServer:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.strip("/").removesuffix(".img")
            said = known.photos.get(name)
            status, headers = _SAYS.get(name, (200 if said else 404, {}))
            body = said.data if said and status == 200 else b""
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
            del format, args

    return ThreadingHTTPServer(("127.0.0.1", port), Answers)


def download_findings(came: Came, known: PlantedUrls) -> list[Finding]:
    """Whether stored photos are the planted ones, at their size, inside their border."""
    digests, sizes, boxes, borders = ({} for _ in range(4))
    off: list[float] = []
    for name, row in came.kept.items():
        planted_photo = known.photos[name]
        upright = planted_photo.upright
        digests[name] = row["sha256"] == sha256(planted_photo.data).hexdigest()
        sizes[name] = (row["original_height"], row["original_width"]) == upright.shape[:2]
        box = _content(upright.shape[1], upright.shape[0], known.config.image_px)
        boxes[name] = row["content_xyxy"] == [float(v) for v in box]
        stored = _decoded(row["image"]["bytes"])
        left, top, right, bottom = box
        inside = stored[top:bottom, left:right]
        borders[name] = stored.shape == (row["height"], row["width"], 3) and _white(stored, box)
        if name != "control/fine" and inside.size:
            off.append(float(np.abs(_brought(upright, right - left, bottom - top) - 1.0 * inside).mean()))
    fine = came.kept.get("control/fine")
    spread = float(np.abs(_inside(fine)[4:-4, 4:-4] - _MEAN).max()) if fine else 0.0
    return [
        Finding.none_wrong(STAGE, "sha256 of what the server sent", digests),
        Finding.none_wrong(STAGE, "size of upright photos", sizes, "Width and height after the EXIF orientation."),
        Finding.none_wrong(STAGE, "photo inside its border", boxes, "Width to height as it came, in the middle."),
        Finding.none_wrong(STAGE, "white border", borders),
        Finding.at_most(STAGE, "pixels of stored photos", max(off, default=0.0), LEVELS, "levels", "The worst photo."),
        Finding.at_most(STAGE, "fine stripes made small", spread, FLAT, "levels", "Grey, if each pixel is a mean."),
    ]


def _inside(row: Row) -> NDArray[np.float64]:
    left, top, right, bottom = (int(v) for v in row["content_xyxy"])
    return _decoded(row["image"]["bytes"])[top:bottom, left:right].astype(np.float64)


def _content(width: int, height: int, side: int) -> tuple[int, int, int, int]:
    scale = side / max(width, height)
    across, down = round(width * scale), round(height * scale)
    left, top = (side - across) // 2, (side - down) // 2
    return left, top, left + across, top + down


def _brought(picture: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    smaller = width < picture.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LANCZOS4
    return np.asarray(cv2.resize(picture, (width, height), interpolation=how), np.uint8)


def _white(stored: NDArray[np.uint8], box: tuple[int, int, int, int]) -> bool:
    border = np.ones(stored.shape[:2], np.bool_)
    left, top, right, bottom = box
    border[max(0, top - 8) : bottom + 8, max(0, left - 8) : right + 8] = False  # blocks of JPEG reach over the edge
    return not border.any() or bool(stored[border].min() > 245)


def _decoded(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.uint8)
