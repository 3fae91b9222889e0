"""The parameters of the flow `video_patches`, as a person fills them in."""

from collections import Counter
from typing import Final, Literal, Self

from pydantic import Field, JsonValue, model_validator

from tasks.machine.runner import AsAsked
from tasks.patches.config_faults import contradictions, place_of, short_name
from tasks.patches.detail import DetailRules
from tasks.patches.formats import FORMATS, SEED_CATEGORIES, PatchCategory, PatchFormat, Weight
from tasks.patches.geometry import GroundTruth
from tasks.patches.plan import (
    MOST_REPLACEMENTS,
    CategoryWindows,
    FormatShare,
    Misfit,
    Wanted,
    windows_of_categories,
)
from tasks.schema.forms import ControlsAsked, Form
from tasks.video.stability import StabilityRules

Step = Literal["film", "windows", "patches"]

STEPS: Final[tuple[Step, ...]] = ("film", "windows", "patches")
"""In order; a step's name is that of its stage."""


class FilmSource(Form):
    """A film, and what it is used for."""

    name: str = Field(title="Name", min_length=1, max_length=200, description="Differs from those of other films.")
    path: str = Field(title="Path", min_length=1, description="Absolute; the file is only read.")
    categories: dict[str, Weight] = Field(
        title="Categories",
        min_length=1,
        description="Name of a category and its weight: windows of a film x weight = its windows of that category.",
    )
    licence: str = Field("unknown", title="Licence", description="Terms of the film, carried with every patch.")

    @property
    def short_name(self) -> str:
        """The name as part of sample ids and file names: `Avatar (2009)` is `avatar_2009`."""
        return short_name(self.name)


class FilmFolder(Form):
    """A folder of films that are all used alike, also of those that come into it later."""

    path: str = Field(title="Path", min_length=1, description="Absolute; with the folders below it. Only read.")
    categories: dict[str, Weight] = Field(
        title="Categories", min_length=1, description="As of a film; for each film in the folder."
    )
    licence: str = Field("unknown", title="Licence", description="Terms of the films, carried with every patch.")


class Planning(Form):
    """Where in a film windows are."""

    skip_start: float = Field(
        0.02, title="Skip at the start", ge=0, lt=0.5, description="Share of the film: logos and titles."
    )
    skip_end: float = Field(0.06, title="Skip at the end", ge=0, lt=0.5, description="Share of the film: credits.")
    replacements: int = Field(
        MOST_REPLACEMENTS,
        title="Replacements",
        ge=0,
        le=MOST_REPLACEMENTS,
        description="Further tries of a window that is no good, shortly after it.",
    )
    misfits: Misfit = Field(
        "larger_scale",
        title="Formats that do not fit",
        description="Into the picture without its letterbox: cut at a larger scale, or planned as formats that fit.",
    )
    seed: int = Field(0, title="Seed", ge=0, le=2**53, description="Of all chance.")
    piece_s: float = Field(
        60.0, title="Work of a shard", ge=1, le=3600, description="CPU seconds, about: what an interrupt may lose."
    )


class MachineRules(Form):
    """How the work is done; decides nothing about what is made."""

    temporary: str = Field("", title="Temporary folder", description="Absolute; empty: beside the output.")
    min_free_gb: float = Field(10.0, title="Free disk", ge=0, description="Gigabytes that are left free, at least.")
    workers: int = Field(1, title="Workers", ge=1, le=256)
    distributor: AsAsked = Field(
        "runner",
        title="Distributor",
        description="runner: on Ray where the run works on Ray, else in processes, as many as the runner has if it has "
        "some.",
    )


class VideoPatchesForm(Form):
    """Parameters of the flow `video_patches`."""

    films: tuple[FilmSource, ...] = Field((), title="Films")
    folders: tuple[FilmFolder, ...] = Field(
        (), title="Folders of films", description="A film that stands in `films` too is used as it says there."
    )
    output: str = Field("", title="Output folder", description="Absolute; empty: in the store.")
    windows_per_film: int = Field(
        3000, title="Windows of a film", ge=1, le=1_000_000, description="Of a weight of 1; the seed's number."
    )
    categories: tuple[PatchCategory, ...] = Field(SEED_CATEGORIES, title="Categories", min_length=1)
    formats: tuple[PatchFormat, ...] = Field(tuple(FORMATS.values()), title="Formats", min_length=1)
    ground_truth: GroundTruth = Field(
        "1080p", title="Ground truth", description="1080p: the picture is scaled to fit 1920x1080; native: not at all."
    )
    layout: Literal["stacks", "sequences", "both"] = Field(
        "stacks", title="Layout", description="stacks: GT, LR_5frames, LR_7frames; sequences: flat LR and GT folders."
    )
    planning: Planning = Field(default_factory=Planning, title="Planning")
    stability: StabilityRules = Field(default_factory=StabilityRules, title="Stability")
    detail: DetailRules = Field(default_factory=DetailRules, title="Detail")
    machine: MachineRules = Field(default_factory=MachineRules, title="Machine")
    until: Step = Field("patches", title="Until", description="The last step to take.")
    only_stages: tuple[Step, ...] = Field(
        (), title="Only these steps", description="Empty: all; else what they need must have been made before."
    )
    controls: ControlsAsked = True

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        found = contradictions(self.model_dump())
        if found:
            raise ValueError("\n".join(f"{place_of(location)}: {said}" for location, said in found))
        return self

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps that this run takes, in order."""
        upto = STEPS[: STEPS.index(self.until) + 1]
        return tuple(step for step in upto if not self.only_stages or step in self.only_stages)

    def wanted(self, film: FilmSource) -> Wanted:
        """What is wanted of a film; depends on no other film."""
        sizes = {each.name: each for each in self.formats}
        counts = windows_of_categories(self.windows_per_film, film.categories)
        return Wanted(
            seed=self.planning.seed,
            ground_truth=self.ground_truth,
            misfit=self.planning.misfits,
            replacements=self.planning.replacements,
            skip_start=self.planning.skip_start,
            skip_end=self.planning.skip_end,
            piece_s=self.planning.piece_s,
            categories=tuple(
                CategoryWindows(
                    name=each.name,
                    windows=counts[each.name],
                    formats=tuple(
                        FormatShare(name=name, width=sizes[name].width, height=sizes[name].height, share=share)
                        for name, share in each.formats.items()
                    ),
                )
                for each in self.categories
                if each.name in counts
            ),
        )

    def totals(self) -> dict[str, int]:
        """Windows that are wanted of each category, over all films."""
        counted = Counter({each.name: 0 for each in self.categories})
        for film in self.films:
            counted.update(windows_of_categories(self.windows_per_film, film.categories))
        return dict(counted)

    def build_params(self) -> dict[str, JsonValue]:
        """The parameters that say what is built, for the manifest: not where files lie, nor how the work is shared.

        Of a form whose folders were listed (`tasks.patches.listing`): its films are all there are.
        """
        params = self.model_dump(
            mode="json", exclude={"folders", "output", "machine", "until", "only_stages", "controls"}
        )
        for film in params["films"]:
            del film["path"]
        return params
