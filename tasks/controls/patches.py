"""Films of known truth through the stages of video patches, and what came back of them."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tasks.controls.film_runs import films_of, looked_at, once_each
from tasks.controls.films import FPS
from tasks.controls.finding import ControlReport, Finding
from tasks.controls.passage import Came, Passage
from tasks.controls.patches_films import BROKEN, SMALLEST, ControlFilm, control_films
from tasks.controls.patches_findings import Shown, patch_findings, read_patch
from tasks.machine.places import Machine
from tasks.patches.build import Build
from tasks.patches.config import STEPS, FilmSource, VideoPatchesForm
from tasks.patches.derivations import FilmRead, count_pieces, film, patches, windows
from tasks.patches.formats import PatchFormat
from tasks.schema.films import WINDOW_FRAMES
from tasks.schema.rejections import Reason
from tasks.shards.files import disk_errors_explained, temporary
from tasks.video.films import film_digest

FLOW: Final = "video_patches"

CUT_WINDOWS: Final = 6
"""Windows of the film with a cut in its middle: two before it, two over it, two behind."""


def check_video_patches(build: Build, machine: Machine, mark: str) -> ControlReport:
    """Send films of known truth through the stages of a build, as far as it goes, and look at what came back.

    The films, their patches and the stages' shards lie in the store, apart from all that is exported. Rules, layout and
    size of the ground truth are those of the build; the one format is its smallest, made larger where it is tiny. Each
    film has a plan of its own: all of it, and no second try, so that it is known what becomes of every window.

    Args:
        build: whose configuration counts.
        machine: where the store is.
        mark: names the build; the same films are found again under the same mark.
    Raises:
        StoreError: the store cannot be written.
    """
    began = time.monotonic()
    config, folder = build.config, films_of(machine.store, mark)
    form = _smallest(config)
    films = control_films(form.size, native=config.ground_truth == "native")
    passage = Passage(machine.store)
    through = [_through(each, _Plan.of(config, form, each, folder), mark, passage, machine) for each in films]
    _broken(_Plan.of(config, form, films[0], folder), passage)
    if "patches" in config.steps:
        passage.add(
            *looked_at("patches", lambda: patch_findings([patch for each in through for patch in each.shown()]))
        )
    return ControlReport(
        findings=tuple(once_each(passage.findings, STEPS)),
        samples=passage.samples,
        seconds=time.monotonic() - began,
    )


@dataclass(frozen=True)
class _Plan:
    """A configuration for one control film, and where it and its patches lie."""

    config: VideoPatchesForm
    path: Path
    tree: Path

    @property
    def source(self) -> FilmSource:
        return self.config.films[0]

    @classmethod
    def of(cls, config: VideoPatchesForm, form: PatchFormat, film: ControlFilm, folder: Path) -> "_Plan":
        wanted = CUT_WINDOWS if len(film.begins) > 1 else 1
        path, tree = folder / "films" / f"{film.name}-{folder.name}.mp4", folder / "patches"
        category = next(each for each in config.categories if form.name in each.formats)
        changes: dict[str, Any] = {
            "films": [FilmSource(name=film.name, path=str(path), categories={category.name: 1.0}, licence="own")],
            "output": str(tree),
            "windows_per_film": wanted,
            "categories": [category.model_copy(update={"formats": {form.name: 1.0}})],
            "formats": [form],
            "planning": config.planning.model_copy(update={"skip_start": 0.0, "skip_end": 0.0, "replacements": 0}),
            "machine": config.machine.model_copy(update={"temporary": ""}),
        }
        given = {name: getattr(config, name) for name in VideoPatchesForm.model_fields}
        return cls(VideoPatchesForm.model_validate(given | changes), path, tree)


@dataclass(frozen=True, eq=False)
class _Through:
    """What came of a film: its windows and its patches, as far as they came."""

    film: ControlFilm
    tree: Path
    windows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    patches: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def shown(self) -> Iterator[Shown]:
        for name, row in self.patches.items():
            if name not in self.windows:
                continue  # told already: no such row was planned
            yield read_patch(self.film, row, self.windows[name]["tries"], self.tree)


def _smallest(config: VideoPatchesForm) -> PatchFormat:
    """The smallest format that a category of the films uses, and that a number can be read in."""
    used = {name for each in config.categories for name in each.formats}
    form = min((each for each in config.formats if each.name in used), key=lambda each: each.width * each.height)
    sides = {side: max(SMALLEST, getattr(form, side)) for side in ("width", "height")}
    return form.model_copy(update=sides)


def _through(film_: ControlFilm, plan: _Plan, mark: str, passage: Passage, machine: Machine) -> _Through:
    """Send a film through all stages."""
    config, source = plan.config, plan.source
    film_.write(plan.path, mark)
    first = film(source, film_digest(plan.path))
    came = passage.through(first, rejected={}, kept={film_.name})
    if came is None:
        return _Through(film_, plan.tree)
    passage.add(*looked_at("film", lambda: _film_findings(film_, came, plan.path)))
    if "windows" not in config.steps or not came.kept:
        return _Through(film_, plan.tree)
    read = FilmRead(source=source, digest=film_digest(plan.path), pieces=1)
    pieces = count_pieces(source, machine.store.data_path(came.record), config)
    passage.add(Finding.at_most("windows", "pieces of a film", pieces, 1, "pieces"))
    wanted = {f"{film_.name}/w{n:06d}_{config.categories[0].name}": n for n in range(config.windows_per_film)}
    planned = passage.through(windows(read, 0, config), rejected={}, kept=set(wanted))
    if planned is None:
        return _Through(film_, plan.tree)
    passage.add(*looked_at("windows", lambda: _window_findings(film_, planned, config.windows_per_film)))
    if "patches" not in config.steps:
        return _Through(film_, plan.tree, planned.kept)
    last = patches(read, 0, config, machine)
    over = {name for name, row in planned.kept.items() if _over_cut(film_, row["tries"][0])}
    cut = passage.through(last, dict.fromkeys(sorted(over), Reason.SCENE_CUT), set(planned.kept) - over)
    return _Through(film_, plan.tree, planned.kept, cut.kept if cut is not None else {})


def _over_cut(film_: ControlFilm, time_s: float) -> bool:
    first = round(time_s * FPS + 0.5) if time_s else 0
    return film_.shot_of(first) != film_.shot_of(first + WINDOW_FRAMES - 1)


def _film_findings(film_: ControlFilm, came: Came, path: Path) -> Iterator[Finding]:
    row = came.kept.get(film_.name, {})
    wide = film_.signal.bits > 8
    truth: dict[str, dict[str, object]] = {
        "size and rotation": {"width": film_.width, "height": film_.height, "rotation": film_.rotation},
        "frames and their rate": {"fps": [FPS, 1], "duration_s": film_.frames / FPS, "vfr": False, "interlaced": False},
        "transfer, primaries, matrix, range": {
            "transfer": film_.name.removeprefix("control_") if wide else "sdr",
            "primaries": {1: "bt709", 6: "smpte170m", 9: "bt2020"}[film_.signal.primaries],
            "matrix": {1: "bt709", 6: "smpte170m", 9: "bt2020nc"}[film_.signal.matrix],
            "full_range": film_.signal.full_range,
            "bit_depth": film_.signal.bits,
        },
        "letterbox": {"content": list(film_.content)},
        "size of the file": {"size_bytes": path.stat().st_size},
    }
    for control, wanted in truth.items():
        told = f"{film_.name} says {', '.join(f'{name} {row.get(name)}' for name in wanted)}."
        right_ones = {f"{film_.name} {name}": row.get(name) == value for name, value in wanted.items()}
        yield Finding.none_wrong("film", control, right_ones, told)


def _window_findings(film_: ControlFilm, planned: Came, wanted: int) -> Iterator[Finding]:
    last = film_.frames - WINDOW_FRAMES
    firsts = {name: [round(t * FPS + 0.5) if t else 0 for t in row["tries"]] for name, row in planned.kept.items()}
    starts = last + 1
    own = {
        name: len(tries) == 1 and n * starts // wanted <= tries[0] < (n + 1) * starts // wanted
        for n, (name, tries) in enumerate(firsts.items())
    }
    yield Finding.none_wrong("windows", "frames of a window", own, "Windows lie in strata of equal length, one each.")
    sizes = {name: (row["scaled_width"], row["scaled_height"]) == film_.scaled for name, row in planned.kept.items()}
    yield Finding.none_wrong("windows", "size that is cut from", sizes, f"{film_.name}: {film_.scaled}.")
    of_film = {name: row["film"] == film_.name for name, row in planned.kept.items()}
    yield Finding.none_wrong("windows", "windows of their film", of_film)


def _broken(plan: _Plan, passage: Passage) -> None:
    """A film whose end is missing: it must be rejected."""
    path = plan.path.with_name(f"{BROKEN}-{plan.tree.parent.name}.mp4")
    if not path.exists():
        part, whole = temporary(path.parent), plan.path.read_bytes()
        with disk_errors_explained(path.parent):
            part.write_bytes(whole[: len(whole) * 2 // 3])
            part.replace(path)
    source = plan.source.model_copy(update={"name": BROKEN, "path": str(path)})
    passage.through(film(source, film_digest(path)), rejected={BROKEN: Reason.VIDEO_TRUNCATED}, kept=set())
