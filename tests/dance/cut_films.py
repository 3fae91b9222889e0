"""Clips of small videos through the stage itself, and what their pictures and sound show."""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.dance.cut import CutClips, CutConfig
from tasks.dance.encode import Encoding
from tasks.dance.videos import DanceConfig, DanceRules, SoundFile, dance_row
from tasks.music.sound_scan import SoundScan, sound_scan
from tasks.schema.clips import CLIP_SCHEMA, DANCE_SCHEMA
from tasks.schema.films import Film
from tasks.schema.rejections import Rejection
from tasks.shards.stage import Whole
from tasks.video.digest import film_digest
from tasks.video.probe import film_of_scan
from tasks.video.scan import Scan, scan
from tests.dance.make_dance import number_of

QUICK = Encoding(preset="ultrafast")


@dataclass(frozen=True)
class Cuts:
    """What became of clip rows."""

    kept: list[dict[str, Any]]
    rejected: list[Rejection]
    facts: dict[str, Any]


def probed(video: Path) -> Film:
    """As `probe`, with the native decoders in this process."""
    return film_of_scan(video, film_digest(video), Scan.model_validate(scan(b"", str(video)), strict=False))


def dance_shard(folder: Path, video: Path, sound: Path | None = None, **rules: Any) -> Path:
    """The shard of a video as the stage makes it, with the native decoders in this process."""
    film = probed(video)
    file = SoundFile(file_name=sound.name, digest=film_digest(sound), paired=True) if sound else None
    config = DanceConfig(
        name="film",
        file_name=video.name,
        digest=film.digest,
        licence="",
        group="films",
        sound=file,
        rules=DanceRules(**rules),
    )
    heard = SoundScan.model_validate(sound_scan(b"", str(sound or video)), strict=False)
    row = dance_row(film, heard, file, config)
    path = folder / f"{video.stem}.dance.parquet"
    pq.write_table(pa.Table.from_pylist([row], schema=DANCE_SCHEMA), path)
    return path


def cut(
    folder: Path,
    video: Path,
    rows: list[dict[str, Any]],
    *,
    sound: Path | None = None,
    size: int = 64,
    encoding: Encoding = QUICK,
    batch_rows: int = 2,
    **rules: Any,
) -> Cuts:
    shard = dance_shard(folder, video, sound, **rules)
    stage = CutClips(CutConfig(size=size, encoding=encoding), video, sound)
    batches = pa.Table.from_pylist(rows, schema=CLIP_SCHEMA).to_batches(max_chunksize=batch_rows)
    outputs = list(stage.process_with(iter(batches), (Whole(shard),)))
    facts = {name: value for output in outputs for name, value in output.facts.items()}
    kept = [row for output in outputs for row in output.kept.to_pylist()]
    return Cuts(kept, [why for output in outputs for why in output.rejected], facts)


def lumas(clip: bytes) -> list[NDArray[np.uint8]]:
    """The brightness of every frame."""
    with av.open(BytesIO(clip)) as container:
        return [frame.to_ndarray()[: frame.height, : frame.width].copy() for frame in container.decode(video=0)]


def numbers(clip: bytes) -> list[int]:
    return [number_of(luma) for luma in lumas(clip)]
