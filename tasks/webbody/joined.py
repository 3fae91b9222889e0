"""What is made of all parts together: whose every face is, and the members of the finished dataset.

gated faces of all parts -> neighbours
                         `-> identities -> clean -> members
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from tasks.face.recogniser import Recogniser, open_recogniser
from tasks.identity.clean import Clean, Validation, ValidationConfig
from tasks.identity.clean_work import CleanConfig
from tasks.identity.identities import Identities, IdentitiesConfig
from tasks.identity.link import LinkerConfig
from tasks.identity.link_average import AverageLinkage
from tasks.identity.link_density import HdbscanLinkage
from tasks.identity.link_labels import PerLabel
from tasks.identity.members import Members, MembersConfig
from tasks.identity.neighbour_stage import FindNeighbours, NeighboursConfig
from tasks.identity.review_ledger import Verdicts, read_verdicts
from tasks.identity.split import SplitConfig
from tasks.identity.subsets import SubsetConfig
from tasks.machine.places import Machine
from tasks.schema.errors import UnreadableError
from tasks.schema.forms import Form
from tasks.schema.records import InputRef
from tasks.shards.derive import Derivation, Made, committed
from tasks.shards.manifest import Manifest, read_manifest
from tasks.webbody.config import IdentityRules, RecognitionRules, WebBodyForm
from tasks.webbody.derivations import AttemptChain, PartRead, chains

FLOW = "webbody"


class Previous(Form):
    """Outputs of the build before that this one goes on from; empty where there was none.

    `gated`: the faces that it linked, in its order.
    """

    gated: tuple[InputRef, ...] = ()
    neighbours: tuple[InputRef, ...] = ()
    identities: tuple[InputRef, ...] = ()
    members: tuple[InputRef, ...] = ()

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        return cls(**{name: manifest.outputs.get(name, ()) for name in cls.model_fields})


class Build(Form):
    """What was made of what: enough to find every shard of it again.

    `previous` is what this build goes on from; `manifest` the digest of its manifest, under the name `flow`.
    """

    config: WebBodyForm
    read: tuple[PartRead, ...]
    previous: Previous = Previous()
    flow: str = FLOW
    manifest: str = ""


@dataclass(frozen=True)
class Joined:
    """The derivations of a build."""

    build: Build
    machine: Machine

    @cached_property
    def every(self) -> tuple[AttemptChain, ...]:
        """The chains of all parts, in the order of the lists."""
        return tuple(chain for part in self.build.read for chain in chains(part, self.build.config, self.machine))

    @cached_property
    def _known(self) -> dict[InputRef, Derivation]:
        made = [(committed(chain.gated, self.machine.store), chain.gated) for chain in self.every]
        return {record.ref: gated for record, gated in made if record is not None}

    @property
    def made(self) -> tuple[InputRef, ...]:
        """The gated faces that are there, in the order of the lists."""
        return tuple(self._known)

    @property
    def _extends(self) -> bool:
        """Whether the neighbours of the build before are a start: all its faces are still there."""
        before = self.build.previous
        return bool(before.gated and before.neighbours) and set(before.gated) <= self._known.keys()

    @cached_property
    def gated(self) -> tuple[Derivation, ...]:
        """The faces to be linked, those of the build before first and in its order."""
        if not self._extends:
            return tuple(chain.gated for chain in self.every)
        before = self.build.previous.gated
        known = set(before)
        return (*(self._known[ref] for ref in before), *(each for ref, each in self._known.items() if ref not in known))

    @cached_property
    def neighbours(self) -> Derivation:
        """The nearest neighbours of every face; those of the build before are extended."""
        extends = self._extends
        before = tuple(Made(ref) for ref in self.build.previous.neighbours) if extends else ()
        return Derivation(FindNeighbours(NeighboursConfig(extends=extends)), self.gated, whole=before)

    @cached_property
    def identities(self) -> Derivation:
        """Whose every face is."""
        before = tuple(Made(ref) for ref in self.build.previous.identities)
        config = self.build.config
        whole: list[Derivation | Made] = [self.neighbours, *before]
        return identities_of(config.identities, config.recognition, self.machine, self.gated, whole)

    @cached_property
    def clean(self) -> Derivation:
        """The identities that are one person each."""
        rules = self.build.config.cleaning
        reference = CleanConfig.reference() if rules.reference_thresholds else CleanConfig()
        config = reference.model_copy(update={"face_score_floor": rules.face_floor, "min_images": rules.min_images})
        verdicts = read_verdicts(self.machine.store)
        said = (Derivation(Verdicts.of(verdicts)),) if verdicts else ()
        barred = (self._validation(rules.validation),) if rules.validation else ()
        people = tuple(chain.people for chain in self.every)
        return Derivation(Clean(config), (self.identities,), whole=(*self.gated, *people, *said, *barred))

    @cached_property
    def members(self) -> Derivation:
        """The members of the finished dataset, with splits and subsets."""
        splits, subsets = self.build.config.splits, self.build.config.subsets
        config = MembersConfig(
            split=SplitConfig(test=splits.test, validation=splits.validation),
            subsets=SubsetConfig(
                testing_identities=subsets.testing_identities,
                covered_images=(subsets.testing_min_hidden, subsets.testing_max_hidden),
                testing_images=(subsets.testing_min_images, subsets.testing_max_images),
                pool_share=subsets.pool_share,
                wb12m_share=subsets.wb12m_share,
                wb4m_share=subsets.wb4m_share,
            ),
            min_images=self.build.config.cleaning.min_images,
        )
        people = tuple(chain.people for chain in self.every)
        before = tuple(Made(ref) for ref in self.build.previous.members)
        return Derivation(Members(config), (self.clean,), whole=(*people, *before))

    def _validation(self, digest: str) -> Derivation:
        outputs = read_manifest(self.machine.store, FLOW, digest).outputs
        return Derivation(
            Validation(ValidationConfig(), self._recogniser.spec.width),
            tuple(Made(ref) for ref in outputs["clean"]),
            whole=tuple(Made(ref) for ref in outputs["gated"]),
        )

    @cached_property
    def _recogniser(self) -> Recogniser:
        return _recogniser(self.build.config.recognition, self.machine)


LINKERS: dict[str, LinkerConfig] = {"global": AverageLinkage(), "per_label": PerLabel(), "density": HdbscanLinkage()}
"""What the names of `IdentityRules.linkage` stand for."""


def identities_of(
    rules: IdentityRules,
    recognition: RecognitionRules,
    machine: Machine,
    gated: Sequence[Derivation | Made],
    whole: Sequence[Derivation | Made],
) -> Derivation:
    """Whose every face is; `whole`: their neighbours, and the identities of the build that is gone on from, if any."""
    recogniser = _recogniser(recognition, machine)
    config = IdentitiesConfig(
        model=recogniser.sha256,
        default_cosine=recogniser.card.thresholds["match"],
        false_match_rate=rules.false_match_rate or None,
        linker=LINKERS[rules.linkage],
        continues=len(whole) > 1,
    )
    return Derivation(Identities(config), tuple(gated), whole=tuple(whole))


def _recogniser(rules: RecognitionRules, machine: Machine) -> Recogniser:
    return open_recogniser(rules.model, machine.zoo, remote_code=rules.allow_remote_code)


def open_build(read: tuple[PartRead, ...], config: WebBodyForm, machine: Machine) -> Build:
    """What is joined now, and which build it goes on from."""
    alone = Build(config=config, read=read)
    return alone.model_copy(update={"previous": _previous(Joined(alone, machine).made, machine)})


def _previous(gated: Sequence[InputRef], machine: Machine) -> Previous:
    """What a build over these faces goes on from: the build before, or what that one went on from if it had the same.

    So a run that finds nothing new finds its identities too. Outputs that the store lost are not gone on from.
    """
    try:
        latest = read_manifest(machine.store, FLOW)
    except UnreadableError:
        return Previous()
    before = Previous.of(latest)
    if set(before.gated) == set(gated):
        before = Previous.model_validate(latest.params["previous"])
    there = {
        name: tuple(ref for ref in getattr(before, name) if machine.store.find(ref.stage, ref.key) is not None)
        for name in ("neighbours", "identities", "members")
    }
    return before.model_copy(update=there)
