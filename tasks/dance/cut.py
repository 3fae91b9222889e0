"""The stage that makes the clips of a video: H.264 and AAC in MP4, the sound in step with the pictures."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from blake3 import blake3
from pydantic import Field, JsonValue

from tasks.dance.clip_making import ClipMaking, Unmade
from tasks.dance.crop import SquareCrop
from tasks.dance.encode import Encoding
from tasks.dance.film_pass import FilmFrame, film_frames
from tasks.music.sound_scan import decibel
from tasks.music.sound_track import SoundError, SoundPart, SoundReader
from tasks.schema.clips import CLIP_FPS, CUT_SCHEMA
from tasks.schema.errors import SourceError
from tasks.schema.films import Film
from tasks.schema.records import Frozen
from tasks.schema.rejections import Reason, Rejection
from tasks.shards.stage import StageOfWhole, StageOutput, Whole
from tasks.video.digest import film_digest
from tasks.video.films import film_of_row
from tasks.video.timing import gap_tolerance
