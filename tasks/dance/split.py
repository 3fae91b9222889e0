"""The stage that divides a dataset of clips: what shares a song or a person is never in two splits."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import Field, JsonValue

from tasks.dance.split_people import people
from tasks.identity.split import Former, name_groups
from tasks.identity.split import SplitConfig as Shares
from tasks.models.cards import cards_of
from tasks.music.fingerprint import Fingerprint, songs
from tasks.music.groups import Groups
from tasks.schema.clips import SAMPLE_SCHEMA
from tasks.schema.errors import ConfigError
from tasks.schema.records import Frozen
from tasks.shards.stage import StageOfWhole, StageOutput, Whole

Row = dict[str, Any]

STRICT_COSINE: Final = 0.5
"""For a model without a card here: what the cards say of the models that have one."""
_MARKS: Final = {"dance": "sound_digest", "music": "fingerprint", "reference": "embedding_missing", "before": "split"}


class SplitConfig(Frozen):
    """How a dataset is divided into train and validation."""

    train_share: float = Field(
        0.8, title="Share of train", gt=0, lt=1, description="Of the groups, by hash; the rest is validation."
    )
    by_song: bool = Field(
        True, title="Keep songs together", description="By the file of the sound and its fingerprint."
    )
    by_person: bool = Field(True, title="Keep people together", description="By their faces.")
    largest_folder: float = Field(
        0.25,
        title="Largest folder kept together",
        ge=0,
        le=1,
        description="Share of the videos; a larger folder is a collection that says nothing. 0: folders never count.",
    )
    person_cosine: float = Field(
        0.0, title="Cosine of one person", ge=0, le=1, description="0: that of the card of the recognition model."
    )
    salt: str = Field("mannequin", title="Salt", description="Another one divides the same groups anew.")

    @property
    def shares(self) -> Shares:
        """As `tasks.identity.split` wants them."""
        return Shares(test=0, validation=1 - self.train_share, salt=self.salt)


@dataclass(frozen=True)
class SplitClips(StageOfWhole):
    """Clips of all videos that passed the audit, in the order given, each with its song, person, group and split.

    Whole inputs, in any order, told apart by their columns: `DANCE_SCHEMA`, `MUSIC_SCHEMA` and `REFERENCE_SCHEMA` of
    all videos; at most one `SAMPLE_SCHEMA`, an earlier split.

    Clips of one video are one group. Groups are joined by song (the same sound file, or fingerprints that share a
    part), by person (faces alike) and by folder. A group's split follows from a hash of its id, which follows from the
    group's smallest video name: adding a video moves nobody, unless the video has a smaller name than all in the group
    that it joins, or joins two groups. With the earlier split as an input, a group keeps the id that most of its clips
    had, and only where groups of both splits become one does a clip move: then all of it is validation.

    Facts: `clips`, `videos` and `groups` of each split, `train_share` of the clips as it came out and `wanted`,
    `largest_group_share` of the clips, `songs`, `people`, `cosines` by model, and `findings`, sentences.
    """

    config: SplitConfig

    name: ClassVar[str] = "split"
    version: ClassVar[int] = 1
    batch_rows: ClassVar[int] = 1 << 14

    @property
    def schema(self) -> pa.Schema:
        return SAMPLE_SCHEMA

    def params(self) -> dict[str, JsonValue]:
        """The parameters, with the cosines of the cards where they count."""
        cosines: dict[str, JsonValue] = {} if self.config.person_cosine else dict(_card_cosines())
        return {**super().params(), "cosines": cosines}

    def process_with(self, batches: Iterator[pa.RecordBatch], whole: tuple[Whole, ...]) -> Iterator[StageOutput]:
        columns = ("sample_id", "parent_id", "source_uri", "licence")
        rows = [row for batch in batches for row in batch.select(columns).to_pylist()]
        given = _sorted(whole)
        clips = _clips([row["sample_id"] for row in rows], [row["parent_id"] for row in rows], given)
        yield divided(rows, clips, _former(given["before"]), self.config)


@dataclass(frozen=True, eq=False)
class Clips:
    """What is known of N clips: lists of N in their order; `folder` is of videos.

    `sound`: digest of the file with their sound; `face`: embedding of unit length and the name of its model, or None.
    """

    video: Sequence[str]
    sound: Sequence[str]
    fingerprint: Sequence[Fingerprint]
    face: Sequence[tuple[str, Sequence[float]] | None]
    folder: Mapping[str, str]


def divided(rows: Sequence[Row], clips: Clips, former: Former, config: SplitConfig) -> StageOutput:
    """Clips with their groups and splits.

    Args:
        rows: their first columns.
        clips: what is known of them.
        former: where they were before.
        config: of the stage.
    """
    ids = [row["sample_id"] for row in rows]
    sounds = {digest: number for number, digest in enumerate(dict.fromkeys(clips.sound))}
    song = songs(clips.fingerprint, [sounds[digest] for digest in clips.sound])
    known = _card_cosines()
    models = sorted({face[0] for face in clips.face if face})
    cosines = {model: config.person_cosine or known.get(model, STRICT_COSINE) for model in models}
    person = people(clips.video, clips.face, cosines)
    groups = Groups(len(rows))
    groups.join_equal(clips.video)
    if config.by_song:
        groups.join_equal(song)
    if config.by_person:
        groups.join_equal(person)
    groups.join_equal(_folders(clips, config))
    members: defaultdict[int, list[int]] = defaultdict(list)
    for clip in range(len(rows)):
        members[groups.of(clip)].append(clip)
    smallest = {group: min(clips.video[clip] for clip in of) for group, of in members.items()}
    names, split = name_groups(
        {smallest[group]: [ids[clip] for clip in of] for group, of in members.items()}, former, config.shares
    )
    group_id = [names[smallest[groups.of(clip)]] for clip in range(len(rows))]
    song_ids, person_ids = _named("song", song, ids), _named("person", person, ids)
    kept = [
        row | {"video": video, "song_group": sung, "person_group": danced, "group": group, "split": split[group]}
        for row, video, sung, danced, group in zip(rows, clips.video, song_ids, person_ids, group_id, strict=True)
    ]
    facts = _facts(kept, cosines, config)
    return StageOutput(pa.Table.from_pylist(kept, schema=SAMPLE_SCHEMA), facts=facts)


def _facts(kept: Sequence[Row], cosines: Mapping[str, float], config: SplitConfig) -> dict[str, JsonValue]:
    clips = Counter(row["split"] for row in kept)
    of_group = Counter(row["group"] for row in kept)
    largest = max(of_group.values(), default=0) / max(len(kept), 1)
    share = clips["train"] / max(len(kept), 1)
    findings = []
    if kept and not (clips["train"] and clips["validation"]):
        only = "train" if clips["train"] else "validation"
        findings.append(
            f"All {len(kept)} clips are {only}: {len(of_group)} groups are too few, or the salt is unlucky."
        )
    if len(of_group) > 1 and largest > max(config.train_share, 1 - config.train_share):
        findings.append(f"One group holds {largest:.0%} of the clips: songs and people join nearly everything here.")
    splits = ("train", "validation")
    return {
        "clips": {name: clips[name] for name in splits},
        "videos": {name: len({row["video"] for row in kept if row["split"] == name}) for name in splits},
        "groups": {name: len({row["group"] for row in kept if row["split"] == name}) for name in splits},
        "wanted": config.train_share,
        "train_share": share,
        "largest_group_share": largest,
        "songs": len({row["song_group"] for row in kept}),
        "people": len({row["person_group"] for row in kept if row["person_group"]}),
        "cosines": dict(cosines),
        "findings": list(findings),
    }


def _card_cosines() -> dict[str, float]:
    """From which two faces are one person's, by recognition model."""
    return {card.name: card.thresholds["match"] for card in cards_of(None) if "match" in card.thresholds}


def _folders(clips: Clips, config: SplitConfig) -> list[str | None]:
    """The folder of each clip, as far as it is small enough to say something."""
    videos = Counter(clips.folder.values())
    most = config.largest_folder * len(clips.folder)
    folders = (clips.folder[video] for video in clips.video)
    return [folder if folder and videos[folder] <= most else None for folder in folders]


def _named(kind: str, numbers: Sequence[int | None], ids: Sequence[str]) -> list[str]:
    """A name for each group of clips, of its smallest id; empty where there is no group."""
    smallest: dict[int, str] = {}
    for number, sample_id in zip(numbers, ids, strict=True):
        if number is not None:
            smallest[number] = min(smallest.get(number, sample_id), sample_id)
    names = {number: f"{kind}-{sha256(first.encode()).hexdigest()[:12]}" for number, first in smallest.items()}
    return [names[number] if number is not None else "" for number in numbers]


def _sorted(whole: Sequence[Whole]) -> dict[str, list[Whole]]:
    """Whole inputs by what they hold.

    Raises:
        ConfigError: an input is of no use, or there are two earlier splits.
    """
    found: dict[str, list[Whole]] = {kind: [] for kind in _MARKS}
    for each in whole:
        names = set(pq.read_schema(each.path).names)
        kind = next((kind for kind, mark in _MARKS.items() if mark in names), None)
        if kind is None:
            raise ConfigError(f"A whole input with columns {sorted(names)} is of no use for a split: take it out.")
        found[kind].append(each)
    if len(found["before"]) > 1:
        raise ConfigError("A split goes on from one earlier split, not from several.")
    return found


def _clips(ids: Sequence[str], video: Sequence[str], given: Mapping[str, Sequence[Whole]]) -> Clips:
    """What the whole inputs know of clips.

    Raises:
        ConfigError: an input lacks a clip or its video.
    """
    wanted = pa.array(ids, pa.string())
    prints = {
        row["sample_id"]: Fingerprint.from_bytes(row["fingerprint"])
        for row in _rows(given["music"], ("sample_id", "fingerprint"), wanted)
    }
    faces = {
        row["sample_id"]: (row["embedding_model"], row["embedding"]) if row["embedding"] else None
        for row in _rows(given["reference"], ("sample_id", "embedding", "embedding_model"), wanted)
    }
    videos = pa.array(sorted(set(video)), pa.string())
    dance = {row["sample_id"]: row for row in _rows(given["dance"], ("sample_id", "sound_digest", "group"), videos)}
    missing = [each for each in ids if each not in prints or each not in faces]
    missing += [each for each in videos.to_pylist() if each not in dance]
    if missing:
        raise ConfigError(f"A split wants the music, the reference and the video of every clip: {missing[0]} has not.")
    return Clips(
        video,
        [dance[each]["sound_digest"] for each in video],
        [prints[each] for each in ids],
        [faces[each] for each in ids],
        {name: row["group"] for name, row in dance.items()},
    )


def _rows(given: Iterable[Whole], columns: tuple[str, ...], wanted: pa.Array) -> Iterator[Row]:
    for each in given:
        for batch in each.batches(columns):
            yield from batch.filter(pc.is_in(batch["sample_id"], value_set=wanted)).to_pylist()


def _former(before: Sequence[Whole]) -> Former:
    rows = [row for each in before for row in each.table(("sample_id", "group", "split")).to_pylist()]
    return Former({row["sample_id"]: row["group"] for row in rows}, {row["sample_id"]: row["split"] for row in rows})
