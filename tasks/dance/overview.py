"""A page on a finished dataset of music and poses, one HTML file that needs no network; and a sheet of its posters."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.dance.clip_frames import ClipError
from tasks.dance.show import poster
from tasks.images.sheet import contact_sheet, encode_jpeg, thumbnail
from tasks.reports.elements import STYLE, data_uri, document, table
from tasks.schema.clips import CLIP_FPS

Row = Mapping[str, Any]

_PAGE_PX, _SHEET_PX = 760, 536
_PAGE_QUALITY: Final = 82
_GREY: Final = 226

_STYLE: Final = """
body{max-width:1240px}article{display:flex;flex-wrap:wrap;gap:1.2rem;margin:1.4rem 0;padding:1rem;background:#fff;
border:1px solid #e2e2e2;border-radius:6px}article img{width:min(100%,760px);height:auto}
article h3{margin:0 0 .4rem;font-size:1rem;overflow-wrap:anywhere}article div{flex:1 1 20rem;min-width:0}
.missing{width:min(100%,760px);padding:3rem 1rem;background:#e2e2e2}
"""


@dataclass(frozen=True, eq=False)
class SampleView:
    """The rows of a sample, each of the schema of that name in `tasks.schema.clips`."""

    cut: Row
    music: Row
    poses: Row
    reference: Row
    audit: Row
    sample: Row


@dataclass(frozen=True, eq=False)
class Overview:
    """What a page says of a dataset beside its samples.

    Args:
        title: of the page.
        counts: what there is, in the order to show: how many videos, clips, samples of a split.
        rejects: rows of `REJECT_SCHEMA`, of all stages.
    """

    title: str
    counts: Mapping[str, int]
    rejects: Iterable[Row] = ()

    def reasons(self) -> list[tuple[str, str, int, str]]:
        """Stage, reason, how many, and the sentence of the first: the most frequent first."""
        counted: Counter[tuple[str, str]] = Counter()
        first: dict[tuple[str, str], str] = {}
        for row in self.rejects:
            kind = row["stage"], row["reason"]
            counted[kind] += 1
            first.setdefault(kind, row["detail"])
        ordered = sorted(counted.items(), key=lambda each: (-each[1], each[0]))
        return [(stage, reason, count, first[stage, reason]) for (stage, reason), count in ordered]


def overview_page(overview: Overview, samples: Iterable[SampleView]) -> str:
    """The page as HTML: counts, reject reasons, and of each sample its poster and its facts.

    It loads nothing: pictures lie in it, and it forbids itself the network. Samples are drawn one after the other, and
    none is held.

    Args:
        samples: those to show; a few hundred make a page of some ten megabytes.
    """
    return document(overview.title, _body(overview, samples), STYLE + _STYLE)


def posters_sheet(samples: Sequence[SampleView]) -> NDArray[np.uint8]:
    """The posters of samples, two in a row, each over a line of facts; RGB uint8, (H, W, 3)."""
    shown = [(_poster(each), _line(each)) for each in samples]
    missing = np.full((_SHEET_PX // 2, _SHEET_PX, 3), _GREY, np.uint8)
    tiles = [missing if picture is None else picture for picture, _ in shown]
    return contact_sheet(tiles, [line for _, line in shown], columns=2, tile_px=_SHEET_PX)


def facts_of(view: SampleView) -> list[tuple[str, str]]:
    """What a person wants to know of a sample, name and value."""
    music, poses, reference, audit, sample = view.music, view.poses, view.reference, view.audit, view.sample
    tempo = "no pulse" if music["tempo_bpm"] is None else f"{music['tempo_bpm']:.1f} BPM"
    if reference["face_score"] is None:
        face = "none"
    else:
        face = f"sharpness {reference['sharpness']:.2f}, frontality {reference['frontality']:.2f}"
    missing = reference["embedding_missing"]
    produced = sum(poses["produced"])
    return [
        ("split", str(sample["split"])),
        ("score", f"{audit['score']:.2f}"),
        ("length", f"{view.cut['frames'] / CLIP_FPS:.1f} s, {view.cut['frames']} frames"),
        ("tempo", f"{tempo}, {len(music['beats_s'])} beats"),
        ("joints", f"{audit['confident_share']:.0%} confident of {produced} that {poses['pose_model']} gives"),
        ("jumps", str(audit["jumps"])),
        ("sound", f"{1000 * audit['sound_offset_s']:+.0f} ms"),
        ("face", face),
        ("embedding", f"none: {missing}" if missing else str(reference["embedding_model"])),
        ("group", str(sample["group"])),
        ("song", str(sample["song_group"])),
        ("person", str(sample["person_group"])),
        ("source", str(sample["source_uri"])),
        ("licence", str(sample["licence"])),
    ]


def _body(overview: Overview, samples: Iterable[SampleView]) -> Iterator[str]:
    yield "<h2>Counts</h2>\n" + table(("", ""), [(name, count) for name, count in overview.counts.items()])
    yield "<h2>Rejected</h2>\n"
    reasons = overview.reasons()
    yield table(("stage", "reason", "rejected", "for example"), reasons) if reasons else "<p>Nothing.</p>\n"
    yield "<h2>Samples</h2>\n"
    for sample in samples:
        yield _article(sample)


def _article(view: SampleView) -> str:
    drawn = _poster(view)
    name = escape(str(view.sample["sample_id"]))
    shown = '<p class="missing">The clip does not decode.</p>'
    if drawn is not None:
        encoded = encode_jpeg(thumbnail(drawn, _PAGE_PX), _PAGE_QUALITY)
        shown = f'<img src="{data_uri(encoded)}" alt="{name}, its skeleton and its music">'
    findings = "".join(f"<li>{escape(finding)}</li>" for finding in view.audit["findings"])
    facts = "".join(f"<tr><th>{escape(fact)}</th><td>{escape(said)}</td></tr>" for fact, said in facts_of(view))
    found = f"<ul>{findings}</ul>" if findings else ""
    return f"<article>{shown}<div><h3>{name}</h3><table>{facts}</table>{found}</div></article>\n"


def _poster(view: SampleView) -> NDArray[np.uint8] | None:
    """The poster, RGB uint8, (H, W, 3); None: the clip does not decode."""
    frame = view.reference["reference_frame"]
    try:
        return poster(view.cut["clip"]["bytes"] or b"", view.poses, view.music, frame=frame)
    except ClipError:
        return None


def _line(view: SampleView) -> str:
    facts = dict(facts_of(view))
    return ", ".join((str(view.sample["sample_id"]), facts["length"].split(",")[0], facts["tempo"].split(",")[0]))
