"""What the stages of music to pose say of the dance video whose every frame, click and joint is known."""

import json
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any, Final

import numpy as np
from PIL import Image

from tasks.controls.films import FPS
from tasks.controls.finding import Finding
from tasks.controls.m2p_measured import (
    JOINTS,
    alone_off,
    away,
    beats_off,
    clicks_in,
    colours_off,
    in_video,
    mean_of,
    named_right,
    number_in,
    overlap,
    pictures_of,
    poses_of,
    share_inside,
    sound_late,
    speed_of,
)
from tasks.controls.m2p_video import FRAMES, NAME, SHOT_FRAMES, TONES, DanceFilm
from tasks.controls.passage import Came
from tasks.controls.sounds import PITCH, RATE

Row = Mapping[str, Any]

CLIPS: Final = (f"{NAME}/c000", f"{NAME}/c001")

COLOURS_OFF: Final = 12.0
"""Levels: what a lossy clip costs flat colours, at most."""
PLACE_OFF: Final = 0.5
"""Pixels of the video by which a clip may lie beside its square."""
BOX_SHARED: Final = 0.4
"""Overlap of the dancer's box with the box around his joints: boxes of models differ in what belongs to a person."""
NAMED: Final = 0.4
"""Share of the joints that are nearest to the true one of their name. Models that never saw a wooden figure find the
right side for 0.6 of them; with sides exchanged or in another order for 0.2."""
SPEED_OFF: Final = 1.0
"""Pixels a frame of the video."""
ALONE_OFF: Final = 2.0
"""Pixels of the clip by which a joint may differ if its frame is looked at alone."""
BEAT_OFF_S: Final = 0.03
BPM: Final = 120.0
TEMPO_OFF: Final = 0.03
"""Share of it."""


def dance_findings(came: Came, film: DanceFilm) -> Iterator[Finding]:
    """What the video is: one row."""
    row = came.kept.get(NAME, {})
    truth: dict[str, dict[str, object]] = {
        "size of the picture": {"width": film.width, "height": film.side, "rotation": 0},
        "frames and their rate": {"fps": [FPS, 1], "duration_s": FRAMES / FPS, "vfr": False},
        "colours as tagged": {"transfer": "sdr", "matrix": "bt709", "full_range": False},
        "sound": {"sound_from": "video", "sound_rate": RATE, "sound_channels": 1, "sound_padded_s": 0.0},
    }
    for control, wanted in truth.items():
        right = {name: row.get(name) == value for name, value in wanted.items()}
        told = f"The video says {', '.join(f'{name} {row.get(name)}' for name in wanted)}."
        yield Finding.none_wrong("dance", control, right, told)
    start, long = row.get("sound_start_s", np.nan), row.get("sound_duration_s", np.nan)
    yield Finding.at_most("dance", "begin of the sound", abs(start) * 1000, 1, "ms", "With the first frame.")
    yield Finding.at_most("dance", "end of the sound", abs(long - FRAMES / FPS) * 1000, 1, "ms", "With the last frame.")


def clip_findings(came: Came, film: DanceFilm) -> Iterator[Finding]:
    """Where clips begin and end, and whom their squares follow."""
    rows = _rows(came)
    shots = {
        name: (round(row["start_s"] * FPS), row["frames"]) == (shot * SHOT_FRAMES, SHOT_FRAMES)
        for shot, name, row in rows
    }
    yield Finding.none_wrong("clips", "clips begin and end with their shots", shots, "Cuts are at known frames.")
    boxes = [
        overlap(row["dancer_xyxy"][4 * n : 4 * n + 4], film.joints(shot * SHOT_FRAMES + n))
        for shot, _, row in rows
        for n in (0, row["frames"] - 1)
    ]
    told = "Overlap with the box around the dancer's joints, in the first and last frame of a clip."
    yield Finding.at_least("clips", "place of the dancer", min(boxes, default=0.0), BOX_SHARED, "IoU", told)
    squares = [
        share_inside(row, n, film.joints(shot * SHOT_FRAMES + n)) for shot, _, row in rows for n in range(row["frames"])
    ]
    told = "Share of the dancer's joints inside the square that follows him, in the worst frame."
    yield Finding.at_least("clips", "dancer in his square", min(squares, default=0.0), 0.9, "share", told)


def cut_findings(came: Came, clips: Came, film: DanceFilm) -> Iterator[Finding]:
    """What the files of clips show and sound like; `clips` are their squares."""
    rows = _rows(came)
    shown = {name: pictures_of(row["clip"]["bytes"]) for _, name, row in rows}
    lengths = {name: len(shown[name]) == row["frames"] == SHOT_FRAMES for _, name, row in rows}
    yield Finding.none_wrong("cut_clips", "frames of a clip", lengths)
    right: dict[str, bool] = {}
    colours, places, late = [0.0], [0.0], [0.0]
    for shot, name, row in rows:
        square = clips.kept[name]
        for n, picture in enumerate(shown[name]):
            frame = shot * SHOT_FRAMES + n
            right[f"{name} frame {n}"] = number_in(picture, square, n, film, frame) == frame
            if n in (0, SHOT_FRAMES // 2):
                colours.append(colours_off(picture, square, n, film, frame))
                places.append(away(picture, square, n, film, frame))
        late += sound_late(row, film, shot)
    yield Finding.none_wrong(
        "cut_clips", "numbers of the frames", right, "Painted into every frame, read where the row says it is."
    )
    yield Finding.at_most(
        "cut_clips", "colours", max(colours), COLOURS_OFF, "levels", "Bars of 75 % beside the dancer."
    )
    yield Finding.at_most(
        "cut_clips", "place of the crop", max(places), PLACE_OFF, "pixels", "Against the square of the row."
    )
    yield Finding.at_most(
        "cut_clips", "sound against picture", max(late), 5, "ms", "Clicks against the frames that they belong to."
    )


def pose_findings(came: Came, clips: Came, cut: Came, film: DanceFilm, model: Any) -> Iterator[Finding]:
    """Where joints are; `model` looks at single frames again."""
    rows = _rows(came)
    shapes, nulls, named, seen = {}, {}, [], []
    slopes, alone = [0.0], [0.0]
    for shot, name, row in rows:
        xy, confidence = poses_of(row)
        shapes[name] = len(xy) == row["frames"] == SHOT_FRAMES
        nulls[name] = bool(np.array_equal(np.isnan(xy).any(axis=2), confidence == 0))
        there = in_video(xy, clips.kept[name], cut.kept[name]["width"])
        seen.append(float((confidence[:, : len(JOINTS)] > 0).mean()))
        named.append(named_right(there, film, shot))
        slopes.append(abs(speed_of(there) - film.speed(shot)))
        alone.append(alone_off(xy, confidence, clips.kept[name], cut.kept[name], model))
    yield Finding.none_wrong("poses", "a pose for each frame", shapes)
    yield Finding.none_wrong("poses", "missing joints have no confidence, others have", nulls)
    yield Finding.at_least(
        "poses", "the dancer is seen", min(seen, default=0.0), 0.25, "share", "Of 18 joints of all frames."
    )
    told = "Joints of the limbs that are nearest to the true one of their name, so sides and order are right."
    yield Finding.at_least("poses", "names and sides of joints", mean_of(named), NAMED, "share", told)
    told = "The dancer glides with a known speed, whatever the square does."
    yield Finding.at_most("poses", "way of the joints", max(slopes), SPEED_OFF, "pixels a frame", told)
    told = "Joints of a frame among others, and alone."
    yield Finding.at_most("poses", "a frame alone", max(alone), ALONE_OFF, "pixels", told)


def reference_findings(came: Came, clips: Came, film: DanceFilm) -> Iterator[Finding]:
    """Which frame became the reference; `clips` are the squares."""
    rows = _rows(came)
    right, told, off = {}, {}, [0.0]
    for shot, name, row in rows:
        with Image.open(BytesIO(row["reference"]["bytes"])) as image:
            picture = np.asarray(image.convert("RGB"))
        n = row["reference_frame"]
        frame = shot * SHOT_FRAMES + n
        right[name] = 0 <= n < SHOT_FRAMES and number_in(picture, clips.kept[name], n, film, frame) == frame
        off.append(colours_off(picture, clips.kept[name], n, film, frame) if 0 <= n < SHOT_FRAMES else 255.0)
        told[name] = (row["embedding"] is None) == bool(row["embedding_missing"])
    yield Finding.none_wrong("reference", "the frame that the row names", right)
    yield Finding.at_most("reference", "colours", max(off), COLOURS_OFF, "levels")
    yield Finding.none_wrong("reference", "an embedding, or why there is none", told)


def music_findings(came: Came, film: DanceFilm) -> Iterator[Finding]:
    """What each row of a clip's music says."""
    rows = _rows(came)
    lengths, onsets, pitches, sizes = {}, {}, {}, {}
    beats, tempi = [0.0], [0.0]
    for shot, name, row in rows:
        values = np.array(row["features"], np.float32)
        lengths[name] = row["frames"] == SHOT_FRAMES and len(values) == SHOT_FRAMES * len(row["layout"])
        if not lengths[name]:
            continue
        table = dict(zip(row["layout"], values.reshape(SHOT_FRAMES, -1).T, strict=True))
        inside = [frame - shot * SHOT_FRAMES for frame in clicks_in(film, shot)]
        strongest = sorted(np.argsort(-table["onset"], kind="stable")[: len(inside)].tolist())
        onsets[name] = strongest == inside
        chroma = [float(table[f"chroma.{k}"].mean()) for k in range(12)]
        pitches[name] = int(np.argmax(chroma)) == PITCH[TONES[shot]]
        sizes[name] = all(np.isfinite(column).all() for column in table.values())
        beats.append(beats_off(row["beats_s"], [n / FPS for n in inside]))
        tempi.append(abs((row["tempo_bpm"] or 0.0) / BPM - 1))
    yield Finding.none_wrong("music", "a row for each frame", lengths)
    yield Finding.none_wrong("music", "every feature is a number", sizes)
    yield Finding.none_wrong("music", "rows of clicks", onsets, "The strongest onsets are on the frames that click.")
    yield Finding.none_wrong("music", "pitch", pitches, f"Tones {', '.join(TONES[:2])}, by the strongest chroma.")
    yield Finding.at_most("music", "beats", max(beats), BEAT_OFF_S, "s", "Each click is a beat, and nothing else is.")
    yield Finding.at_most("music", "tempo", max(tempi), TEMPO_OFF, "share", f"{BPM:g} beats a minute.")


def audit_findings(came: Came, poses: Came) -> Iterator[Finding]:
    """What was measured is what is known, whether the rules keep such clips or not."""
    measured = {**{name: dict(row) for name, row in came.kept.items()}}
    for name, row in came.rejected.items():
        told = json.loads(row["evidence"] or "{}").get("measured", {})
        measured[name] = told | {"sound_offset_s": told.get("offset_s", np.nan)}
    offsets = [abs(each.get("sound_offset_s", np.nan)) * 1000 for each in measured.values()]
    loops = [each.get("loop_share", np.nan) for each in measured.values()]
    there = {name: name in measured for name in poses.kept}
    yield Finding.none_wrong("audit", "every clip is judged", there)
    yield Finding.at_most("audit", "sound against picture", max(offsets, default=0.0), 1, "ms")
    yield Finding.at_most("audit", "no loop in a straight way", max(loops, default=0.0), 0.3, "share")


def split_findings(came: Came) -> Iterator[Finding]:
    """What belongs together."""
    for column, told in (("group", "one video"), ("split", "one group"), ("song_group", "one song")):
        several = len({row[column] for row in came.kept.values()})
        yield Finding.at_most("split", f"clips of {told} stay together", several, 1, column.replace("_", " ") + "s")


def _rows(came: Came) -> list[tuple[int, str, Row]]:
    """Shot, name and row of the clips that came back."""
    return [(shot, name, came.kept[name]) for shot, name in enumerate(CLIPS) if name in came.kept]
