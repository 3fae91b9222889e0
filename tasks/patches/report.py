"""What a build of patches says of itself when it ends: statistics, warnings, and the card of its tree."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pyarrow.parquet as pq

from tasks.audit.rates import ErrorRate
from tasks.exports.card import build_sections, markdown_table, plain, size_category
from tasks.patches.build_plan import BuildPlan
from tasks.patches.progress import BuildProgress, FilmProgress
from tasks.schema.records import ShardRecord
from tasks.shards.manifest import Manifest
from tasks.shards.store import Store
from tasks.watching.words import duration, size

TableRows = list[dict[str, str | int | float]]

POOR_SUCCESS = 0.5
"""A film that keeps less of its windows is warned of. The seed expects 85 to 95 %."""

POINTS_OFF = 2.0
"""A format whose share is further from the wanted one, in percentage points, is warned of ..."""

WINDOWS_OFF = 2
"""... where that are more windows than rounding makes."""

FEW_WINDOWS = 20
"""A film with fewer finished windows says little about its success."""

Rejected = Mapping[tuple[str, str], Mapping[str, int]]
"""(category, format) -> reason -> windows."""


def rejected_by_format(store: Store, records: Iterable[ShardRecord]) -> dict[tuple[str, str], Counter[str]]:
    """Reasons of the windows that pieces rejected; what record counts only by reason.

    Args:
        records: of the stage `patches`; only of those that rejected something are rows read.
    """
    found: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for record in records:
        rejects = store.rejects_path(record)
        if rejects is None:
            continue
        reasons = pq.read_table(rejects, columns=["sample_id", "reason"]).to_pydict()
        wanted = dict(zip(reasons["sample_id"], reasons["reason"], strict=True))
        for ref in record.inputs:
            windows = store.read_record(ref.stage, ref.key)
            if windows is None:
                continue
            rows = pq.read_table(store.data_path(windows), columns=["sample_id", "category", "format"]).to_pydict()
            for sample, category, name in zip(rows["sample_id"], rows["category"], rows["format"], strict=True):
                if sample in wanted:
                    found[category, name][wanted[sample]] += 1
    return dict(found)


def statistics(plan: BuildPlan, progress: BuildProgress, rejected: Rejected) -> TableRows:
    """A row for each format of each category: what was wanted of it, and what became of that.

    `redistributed` are the windows that were planned in this format instead of one that did not fit, less those of this
    format that were planned in others.
    """
    moved: Counter[tuple[str, str]] = Counter()
    for film in plan.films:
        for category, wanted in film.redistributed.items():
            for name, instead in wanted.items():
                moved[category, name] -= sum(instead.values())
                moved.update({(category, other): count for other, count in instead.items()})
    return [
        {
            "category": each.category,
            "format": each.format,
            "wanted": each.wanted,
            "redistributed": moved[each.category, each.format],
            "planned": each.planned,
            "kept": each.kept,
            "% wanted": round(100 * each.share_wanted, 1),
            "% kept": "" if each.share_kept is None else round(100 * each.share_kept, 1),
            "points off": "" if each.points_off is None else round(each.points_off, 1),
            "rejected": _said(rejected.get((each.category, each.format), {})),
        }
        for each in progress.formats
    ]


def film_rows(progress: BuildProgress) -> TableRows:
    """A row a film: how much of it was kept, its share of the time, and why windows were rejected."""
    return [
        {
            "film": each.film,
            "state": each.state,
            "windows": each.windows,
            "kept": each.kept,
            "success": "" if each.success is None else f"{each.success:.1%}",
            "time": duration(each.seconds) if each.seconds else "",
            "written": size(each.written_bytes) if each.written_bytes else "",
            "rejected": f"{each.reason}: {each.detail}" if each.reason else _said(each.rejected),
        }
        for each in progress.films
    ]


def warnings_of(progress: BuildProgress, poor_success: float = POOR_SUCCESS) -> list[str]:
    """What a person should know about a build that ended well."""
    return [
        *_about_films(progress.films, poor_success),
        *_about_categories(progress),
        *(
            f"{each.category}: {each.format} makes {each.share_kept or 0:.1%} of what was kept, "
            f"{each.share_wanted:.1%} were wanted ({each.kept} of {each.planned} planned windows are kept)."
            for each in progress.formats
            if each.points_off is not None
            and abs(each.points_off) > POINTS_OFF
            and abs(each.points_off) / 100 * _kept_of(progress, each.category) > WINDOWS_OFF
        ),
    ]


def _about_films(films: Sequence[FilmProgress], poor_success: float) -> list[str]:
    found = []
    for film in films:
        if film.reason:
            found.append(f"{film.film} gave nothing: {film.detail or film.reason}")
        elif film.success is not None and film.success < poor_success and film.windows_done >= FEW_WINDOWS:
            most = next(iter(film.rejected), "")
            found.append(
                f"{film.film}: only {film.success:.0%} of {film.windows_done} windows are kept, mostly {most}."
            )
    return found


def _about_categories(progress: BuildProgress) -> list[str]:
    found = []
    for each in progress.categories:
        if each.asked and not each.kept and progress.windows_done:
            found.append(f"{each.category}: not one of {each.asked} wanted windows is there.")
        elif each.planned < each.asked:
            found.append(
                f"{each.category}: {each.asked} windows were wanted, {each.planned} could be planned; the other films "
                "are too short, too small or left out."
            )
    return found


def _kept_of(progress: BuildProgress, category: str) -> int:
    return next((each.kept for each in progress.categories if each.category == category), 0)


def _said(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(counts.items(), key=lambda each: -each[1]))


@dataclass(frozen=True)
class CardFacts:
    """What the card of a tree says.

    `films` are rows of `FILM_SCHEMA`; `folders` category -> its folder; `formats` name -> (width, height, folder);
    `tonemap` the chain that HDR films went through, as text, by transfer; `layout` how the tree is laid out.
    """

    title: str
    films: Sequence[Mapping[str, Any]]
    folders: Mapping[str, str]
    formats: Mapping[str, tuple[int, int, str]]
    progress: BuildProgress
    statistics: TableRows
    tonemap: Mapping[str, str] = field(default_factory=dict)
    layout: str = "stacks"
    manifest: Manifest | None = None
    audited: Sequence[ErrorRate] = ()


_WHAT = (
    "patches for video super-resolution. Each is cut from seven consecutive frames of a film: the ground truth (GT) is "
    "the middle one; its low resolution is a third of its size, antialiased bicubic (Pillow), 8-bit RGB."
)
_LAYOUTS = {
    "stacks": "`GT/` holds the ground truth, `LR_5frames/` frames 1 to 5 and `LR_7frames/` frames 0 to 6 one above the "
    "other, under the same name; the ground truth is tile 2 of the former and tile 3 of the latter, downscaled by 3. "
    "`Val/` is never filled by the flow.",
    "sequences": "`sequences/GT/<film>/<window>/im4.png` is the ground truth, `sequences/LR/<film>/<window>/im1.png` "
    "to `im7.png` are the frames of low resolution.",
}
_LAYOUTS["both"] = f"{_LAYOUTS['stacks']} {_LAYOUTS['sequences']}"


def patches_card(facts: CardFacts) -> str:
    """README.md of a tree, with the hub's YAML header; equal facts give equal text."""
    kept = {each.film: each.kept for each in facts.progress.films}
    films = [
        (
            row["sample_id"],
            row["licence"],
            f"{row['width']}x{row['height']}",
            f"{float(Fraction(*row['fps'])):.5g}",
            f"{row['bit_depth']}-bit {row['transfer']}",
            kept.get(row["sample_id"], 0),
        )
        for row in facts.films
    ]
    rejected = [(reason, count) for reason, count in facts.progress.rejected.items()]
    left_out = [(each.film, each.reason, each.detail) for each in facts.progress.films if each.reason]
    used = {str(row["transfer"]) for row in facts.films}
    tonemaps = [f"- {name}: `{chain}`" for name, chain in facts.tonemap.items() if name in used]
    sections = [
        f"# {plain(facts.title)}",
        f"{facts.progress.kept:,} {_WHAT}",
        f"## Layout\n\n{_LAYOUTS[facts.layout]}\n\n"
        + markdown_table(("category", "folder"), list(facts.folders.items()))
        + "\n\n"
        + markdown_table(
            ("format", "folder", "GT", "LR", "5-stack", "7-stack"),
            [(name, folder, *_sizes(width, height)) for name, (width, height, folder) in facts.formats.items()],
        ),
        "## Patches\n\n" + _table_of(facts.statistics),
        *(["## Rejected\n\n" + markdown_table(("reason", "windows"), rejected)] if rejected else []),
        "## Licences\n\nA patch has the terms of its film.\n\n"
        + markdown_table(("film", "licence", "size", "frames a second", "transfer", "patches"), films),
        *(["## Films left out\n\n" + markdown_table(("film", "reason", "detail"), left_out)] if left_out else []),
        "## Colour\n\nAll patches are BT.709, full-range RGB. The transfer tag of a film decides."
        + ("\n\n" + "\n".join(tonemaps) if tonemaps else " No film is HDR."),
        *build_sections(facts.manifest, facts.audited),
    ]
    return _header(facts) + "\n" + "\n\n".join(sections) + "\n"


def _header(facts: CardFacts) -> str:
    from huggingface_hub import DatasetCardData

    card = DatasetCardData(
        pretty_name=plain(facts.title),
        license="other",
        license_name="per-film",
        license_link="README.md#licences",
        task_categories=["image-to-image"],
        tags=["super-resolution", "video-super-resolution"],
        size_categories=[size_category(facts.progress.kept)],
    )
    return f"---\n{card.to_yaml(line_break=chr(10)).strip()}\n---\n"


def _sizes(width: int, height: int) -> tuple[str, str, str, str]:
    low, lower = width // 3, height // 3
    return f"{width}x{height}", f"{low}x{lower}", f"{low}x{5 * lower}", f"{low}x{7 * lower}"


def _table_of(rows: TableRows) -> str:
    return markdown_table(tuple(rows[0]), [tuple(row.values()) for row in rows]) if rows else "None."
