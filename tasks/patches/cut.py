"""The stage that cuts the patches of a piece of a film and writes them into the tree."""

import json
from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, ClassVar, Final

import pyarrow as pa
from pydantic import JsonValue

from tasks.patches.detail import DetailRules, Poor, judge_patch
from tasks.patches.formats import FORMATS, SEED_CATEGORIES, PatchCategory, PatchFormat
from tasks.patches.geometry import Box, Size, fits, patch_box
from tasks.patches.pieces import Piece
from tasks.patches.png import PngRules, deflate_build
from tasks.patches.stacks import GT_FRAME, RGB, stacks
from tasks.patches.tree import Layout, PatchTree
from tasks.patches.tries import Tries
from tasks.schema.films import PATCH_SCHEMA, Film
from tasks.schema.records import Frozen, ShardRecord
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.files import LocalFiles, disk_errors_explained
from tasks.shards.stage import StageOfWhole, StageOutput, Whole
from tasks.video.convert import Converter
from tasks.video.films import demand_film, film_of_row
from tasks.video.frames import Frames, WindowError, WindowReader
from tasks.video.stability import StabilityRules, Stable, Unstable, judge_window
from tasks.video.trial import CautiousReader

WRITTEN_BEHIND: Final = 2
"""Windows whose files are made while the next ones are decoded; 45 MB each at most of the seed's formats."""

Row = dict[str, Any]
_Reader = WindowReader | CautiousReader


class PatchesConfig(Frozen):
    """All that decides what a window becomes, and where its files lie in the tree."""

    layout: Layout = "stacks"
    stability: StabilityRules = StabilityRules()
    detail: DetailRules = DetailRules()
    categories: tuple[PatchCategory, ...] = SEED_CATEGORIES
    formats: tuple[PatchFormat, ...] = tuple(FORMATS.values())
    png: PngRules = PngRules()


@dataclass(frozen=True)
class Failure:
    """Why a try is no good."""

    time_s: float
    reason: Reason
    detail: str
    score: float | None = None


@dataclass(frozen=True, eq=False)
class Cut:
    """The seven pictures of a window that is good, RGB uint8, and the columns that are known before it is written."""

    pictures: tuple[RGB, ...]
    columns: Row


@dataclass(frozen=True)
class Patches(StageOfWhole):
    """Planned windows to patches, one to one; the whole input is the shard of their film.

    A window whose try is no good (no frames, a cut, a poor patch) takes its next one; it is rejected with the reason of
    its first when all are, with all of them as evidence. What becomes of a window depends on no other window.

    Facts: `kept` by category and format, `tries`: how many kept windows needed how many tries, `bytes` written, `piece`
    and `files`: what `PatchTree` asks for.

    Attributes:
        film_path: where the film lies on this machine.
        tree: the root of the tree.
        temporary: where files are made, on the same file system; None: in the tree.
        min_free_bytes: that stay free on the disk.
        files: how files are written.
        careful: a child process reads every window first; a try that it does not survive is no good.

    Raises:
        SourceError: the film is not there, or is another one by now.
        StoreError: the disk is full, or does not hold what was written.
        ConfigError: a file of somebody else's is in the way.
    """

    config: PatchesConfig
    film_path: Path
    tree: Path
    temporary: Path | None = None
    min_free_bytes: int = 0
    files: LocalFiles = field(default_factory=LocalFiles)
    careful: bool = False

    name: ClassVar[str] = "patches"
    version: ClassVar[int] = 1

    @property
    def schema(self) -> pa.Schema:
        return PATCH_SCHEMA

    def execution(self) -> dict[str, str]:
        import av

        libraries = ("libavcodec", "libavformat", "libavutil")
        packages = ("numpy", "opencv-python-headless", "numba", "scenedetect")
        return {
            **{name: ".".join(str(part) for part in av.library_versions[name]) for name in libraries},
            **{name: version_of(name) for name in packages},
            **deflate_build(self.config.png),
        }

    def cautious(self) -> "Patches":
        return replace(self, careful=True)

    def open_tree(self) -> PatchTree:
        """The tree that the patches are written into."""
        config = self.config
        return PatchTree(
            self.tree,
            config.categories,
            config.formats,
            config.layout,
            temporary=self.temporary,
            min_free_bytes=self.min_free_bytes,
            files=self.files,
        )

    def holds(self, record: ShardRecord) -> bool:
        """Whether the files of a committed piece are all in the tree, in their sizes."""
        return self.open_tree().holds(record.facts)

    def process_with(self, batches: Iterator[pa.RecordBatch], whole: tuple[Whole, ...]) -> Iterator[StageOutput]:
        rows = [row for batch in batches for row in batch.to_pylist()]
        if not rows:
            none: dict[str, JsonValue] = {"kept": {}, "tries": {}, "bytes": 0, "piece": "", "files": ""}
            yield StageOutput(PATCH_SCHEMA.empty_table(), (), none)
            return
        film = film_of_row(whole[0].table().to_pylist()[0], self.film_path)
        demand_film(film)
        with disk_errors_explained(self.tree):
            yield _Piece(film, self.config, self.open_tree(), rows, careful=self.careful).output()


class _Piece:
    """One way through the windows of a piece."""

    def __init__(
        self, film: Film, config: PatchesConfig, tree: PatchTree, rows: Sequence[Row], *, careful: bool
    ) -> None:
        self._film = film
        self._careful = careful
        self._config = config
        self._tree = tree
        self._rows = rows
        self._converter = Converter(film)
        self._sizes = {each.name: each.size for each in config.formats}
        self._judged: dict[float, Stable | Failure] = {}
        self._failures: dict[int, list[Failure]] = defaultdict(list)
        self._kept: dict[int, Row] = {}
        self._writing: deque[tuple[int, Row, Future[Row]]] = deque()

    def output(self) -> StageOutput:
        with ExitStack() as stack:
            piece = stack.enter_context(self._tree.piece(self._rows))
            pool = ThreadPoolExecutor(1, "patches")
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            opened = CautiousReader if self._careful else WindowReader
            reader: _Reader = opened(self._film, Path(self._film.path))
            stack.enter_context(reader)
            tries = Tries([row["tries"] for row in self._rows])
            for time_s, rows in tries:
                for row, outcome in self._tried(reader, time_s, rows):
                    if isinstance(outcome, Failure):
                        self._failures[row].append(outcome)
                        tries.next_of(row)
                    else:
                        self._write(pool, piece, row, outcome)
            while self._writing:
                self._join()
            files = piece.end()
        kept = [self._kept[row] for row in sorted(self._kept)]
        rejected = tuple(self._rejection(n, row) for n, row in enumerate(self._rows) if n not in self._kept)
        return StageOutput(
            pa.Table.from_pylist(kept, schema=PATCH_SCHEMA), rejected, self._facts(kept, piece.name, files)
        )

    def _tried(
        self, reader: _Reader, time_s: float, rows: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[int, Cut | Failure]]:
        """What becomes of the rows that try a time, given with the number of the try."""
        seen = self._seen(reader, time_s)
        for row, number in rows:
            yield row, seen if isinstance(seen, Failure) else self._cut(*seen, self._rows[row], number)

    def _seen(self, reader: _Reader, time_s: float) -> tuple[Frames, Stable] | Failure:
        """The frames of a time, and how steady they are; or why they are of no use."""
        judged = self._judged.get(time_s)
        if isinstance(judged, Failure):
            return judged
        try:
            frames = reader.window(time_s)
        except WindowError as error:
            judged = Failure(time_s, error.reason, error.detail)
        else:
            judged = judged or self._judge(frames, time_s)
        self._judged[time_s] = judged
        return judged if isinstance(judged, Failure) else (frames, judged)

    def _judge(self, frames: Frames, time_s: float) -> Stable | Failure:
        thumbnails = [self._converter.thumbnail(frame) for frame in frames.frames]
        judged = judge_window(thumbnails, self._config.stability)
        if isinstance(judged, Unstable):
            return Failure(time_s, judged.reason, judged.detail, judged.score)
        return judged

    def _cut(self, frames: Frames, stable: Stable, row: Row, number: int) -> Cut | Failure:
        """The patch of a row, if it fits and shows something."""
        time_s = row["tries"][number]
        size = self._film.width, self._film.height
        scaled: Size = (row["scaled_width"], row["scaled_height"])
        patch = self._sizes[row["format"]]
        if not fits(size, self._film.content, scaled, patch):
            said = f"{patch[0]} x {patch[1]} pixels do not fit into the picture of {scaled[0]} x {scaled[1]}"
            return Failure(time_s, Reason.FORMAT_DOES_NOT_FIT, said)
        box = patch_box(size, self._film.content, scaled, patch, row["crop_u"][number], row["crop_v"][number])
        crop = partial(self._crop, frames, scaled, box)
        middle = {n: crop(n) for n in (GT_FRAME, GT_FRAME - 1, GT_FRAME + 1)}
        judged = judge_patch(middle[GT_FRAME], (middle[GT_FRAME - 1], middle[GT_FRAME + 1]), self._config.detail)
        if isinstance(judged, Poor):
            return Failure(time_s, judged.reason, judged.detail, judged.score)
        pictures = tuple(middle[n] if n in middle else crop(n) for n in range(len(frames.frames)))
        same = ("sample_id", "parent_id", "source_uri", "licence", "film", "category", "format")
        return Cut(
            pictures,
            {
                **{name: row[name] for name in (*same, "scaled_width", "scaled_height")},
                "try": number,
                "pts": list(frames.pts),
                "time_s": frames.times_s[0],
                "crop_xyxy": list(box),
                "first_last_difference": stable.first_last_difference,
                "largest_difference": stable.largest_difference,
                "shot_score": stable.shot_score,
                "detail": judged.detail,
                "motion": judged.motion,
            },
        )

    def _crop(self, frames: Frames, scaled: Size, box: Box, number: int) -> RGB:
        picture: RGB = self._converter.crop(frames.frames[number], scaled, box)
        return picture

    def _write(self, pool: ThreadPoolExecutor, piece: Piece, row: int, cut: Cut) -> None:
        """Write a window behind the back of the next ones."""
        while len(self._writing) >= WRITTEN_BEHIND:
            self._join()
        self._writing.append((row, cut.columns, pool.submit(self._written, piece, self._rows[row], cut.pictures)))

    def _written(self, piece: Piece, row: Row, pictures: Sequence[RGB]) -> Row:
        return self._tree.put(piece, row, stacks(pictures), self._config.png)

    def _join(self) -> None:
        """Wait for the window that has been written longest."""
        row, columns, written = self._writing.popleft()
        self._kept[row] = {**columns, **written.result()}

    def _rejection(self, number: int, row: Row) -> Rejection:
        failures = self._failures[number]
        if not failures:
            said = "No time was planned for the window."
            return Rejection(row["sample_id"], Reason.FRAMES_TOO_FEW, said, source_uri=row["source_uri"])
        first = failures[0]
        tried = [{"time_s": each.time_s, "reason": each.reason.value, "score": each.score} for each in failures]
        return Rejection(
            row["sample_id"],
            first.reason,
            first.detail,
            first.score,
            row["source_uri"],
            json.dumps({"tries": tried}),
        )

    def _facts(self, kept: Sequence[Row], piece: str, files: str) -> Mapping[str, JsonValue]:
        formats: dict[str, Counter[str]] = defaultdict(Counter)
        for row in kept:
            formats[row["category"]][row["format"]] += 1
        tries = Counter(row["try"] + 1 for row in kept)
        return {
            "kept": {category: dict(sorted(counted.items())) for category, counted in sorted(formats.items())},
            "tries": {str(number): tries[number] for number in sorted(tries)},
            "bytes": sum(row[f"{part}_bytes"] for row in kept for part in ("gt", "lr5", "lr7")),
            "piece": piece,
            "files": files,
        }
