"""Bundles of bodies with their faces: the whole dataset and each subset, in the formats asked for.

<root>/whole_body_bundle/    every member; `subset_config` lists in it the rows of each subset and of each split
<root>/<subset>/             the members of a subset, their labels counted anew

Pictures are cut once, in pieces that a killed export finds again, and go from there into all bundles and formats byte
for byte. A bundle's new files get their names together, when all of them are whole; until then the old ones stay.
"""

import json
import os
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from tasks.exports.contents import Disjoint, MadeBy
from tasks.exports.owned import FolderChange, OwnedFolder
from tasks.exports.webbody_card import WebBodyCard, webbody_cards
from tasks.exports.webbody_cut import BUNDLE_SCHEMA, RECIPE
from tasks.exports.webbody_facts import FACTS, WHOLE, BundleConfig, BundleFacts, read_facts
from tasks.exports.webbody_fill import ROWS, FillingBundle, list_name
from tasks.exports.webbody_formats import SPLITS
from tasks.exports.webbody_join import WebBodyShards, members_plan, open_shards
from tasks.exports.webbody_pieces import Pieces
from tasks.identity.subsets import WB_TESTING
from tasks.schema.errors import ConfigError
from tasks.shards.files import LocalFiles, file_digest
from tasks.shards.numbers import assign
from tasks.shards.store import Store

LEDGER = "webbody"
"""The ledger of identity numbers: one for all folders that a store is exported to."""

_PIECES = ".mannequin/pieces"


@dataclass(frozen=True)
class BundlesExport:
    """What is in the folders now: facts and change of each bundle by its name."""

    root: Path
    bundles: dict[str, BundleFacts]
    changes: dict[str, FolderChange]


def export_bundles(
    store: Store,
    shards: WebBodyShards,
    root: Path,
    config: BundleConfig,
    *,
    card: WebBodyCard,
    threads: int | None = None,
    digest_of: Callable[[Path], str] = file_digest,
) -> BundlesExport:
    """Write the bundles of a build, or bring those of an earlier one up to date; equal builds give equal bytes.

    Args:
        store: keeps the numbers of identities.
        card: what the cards of the folders say.
        threads: that decode, scale and encode; as many as processors if not given.
        digest_of: digest of a shard's bytes; records in the store know it without reading.
    Raises:
        ConfigError: no format, a name that cannot be a folder, or a file of somebody else's is in the way.
        StoreError: a member has no face, person or photo in the shards, or the disk does not take more.
    """
    _demand_names(config)
    members, faces, people, photos = open_shards(shards)
    plan = members_plan(members, faces, people, photos)
    numbers = assign(store, LEDGER, "identity", sorted(plan.identity.values))
    made_from = _digest(shards, config, numbers, digest_of)
    names = (WHOLE, *config.subsets)
    with ExitStack() as stack:
        found = {name: _up_to_date(root / name, store.files, made_from) for name in names}
        outs = {name: stack.enter_context(OwnedFolder(root / name, store.files)) for name in names}
        current = {name: facts for name, facts in found.items() if facts is not None}
        pieces = Pieces(root / WHOLE / _PIECES / made_from, store.files, len(plan))
        if len(current) == len(names):
            for name, facts in current.items():
                for file in facts.files:
                    outs[name].keep(file, "")
            pieces.remove()
            return _finished(root, outs, current, card)
        pieces.cut(plan, faces, people, photos, config.cut, threads or os.cpu_count() or 1)
        bundles = [
            stack.enter_context(FillingBundle(name, outs[name], store.files, plan, pieces.shown(), numbers, config))
            for name in names
        ]
        for rows, table in pieces.tables():
            for bundle in bundles:
                bundle.add(rows, table)
        made = {bundle.name: bundle.finish(made_from) for bundle in bundles}
        for bundle in bundles:
            outs[bundle.name].adopt_all(dict(sorted(bundle.drafts.made.items())))
        done = _finished(root, outs, made, card)
        pieces.remove()
    return done


def _demand_names(config: BundleConfig) -> None:
    taken = {WHOLE, *SPLITS}
    wrong = [name for name in config.subsets if name in taken or re.fullmatch(r"[a-z0-9][a-z0-9_]*", name) is None]
    if wrong or len(set(config.subsets)) < len(config.subsets):
        raise ConfigError(f"Each subset has a lower-case name of its own, none of {sorted(taken)}: {config.subsets}.")
    if not config.formats or len(set(config.formats)) < len(config.formats):
        raise ConfigError("Name at least one format of a bundle, each once: recordio, webdataset, parquet.")


def _finished(
    root: Path, outs: dict[str, OwnedFolder], made: dict[str, BundleFacts], card: WebBodyCard
) -> BundlesExport:
    changes = {}
    for name, facts in made.items():
        said = (facts.model_dump_json(indent=1) + "\n").encode()
        outs[name].put({**webbody_cards(facts, card), FACTS: said}, {FACTS: facts.made_from})
        outs[name].declare(*_disjoint(facts))
        changes[name] = outs[name].finish(MadeBy.of(card.manifest))
    return BundlesExport(root, made, changes)


def _disjoint(facts: BundleFacts) -> tuple[Disjoint, ...]:
    """What the splits of a bundle do not share, nor wb_testing with the other subsets."""
    splits = tuple((name,) for name in SPLITS)
    keys = ("sample_id", "identity", "group_id", "photo_sha256")
    files = ("data/{split}-*.parquet", "webdataset/{split}-*.tar")
    rules = (Disjoint((ROWS,), (*keys, "local_idx"), splits=splits), Disjoint(files, keys, splits=splits))
    others = tuple(name for name in facts.config.subsets if name != WB_TESTING)
    if facts.name != WHOLE:
        return rules
    listed = Disjoint((list_name("{split}"),), ("local_idx",), "", splits)
    return (*rules, listed, Disjoint((ROWS,), keys[:3], "subsets", ((WB_TESTING,), others)))


def _up_to_date(folder: Path, files: LocalFiles, made_from: str) -> BundleFacts | None:
    """The facts of a bundle that was made from the same and that nobody has changed."""
    facts = read_facts(folder)
    if facts is None or facts.made_from != made_from:
        return None
    with OwnedFolder(folder, files) as out:
        whole = out.keep(FACTS, made_from) and all(out.keep(name, "") for name in facts.files)
    return facts if whole else None


def _digest(
    shards: WebBodyShards, config: BundleConfig, numbers: dict[str, int], digest_of: Callable[[Path], str]
) -> str:
    inputs = [[digest_of(path) for path in paths] for paths in vars(shards).values()]
    said = [RECIPE, config.model_dump(mode="json"), inputs, sorted(numbers.items()), BUNDLE_SCHEMA.to_string()]
    return blake3(json.dumps(said).encode()).hexdigest()
