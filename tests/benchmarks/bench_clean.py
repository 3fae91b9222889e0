"""Cleaning identities: time and memory, against the plain loop over identities, in one run.

    python -m tests.benchmarks.bench_clean --identities 10000 --faces 10
    python -m tests.benchmarks.bench_clean --growth 10000 30000 100000

The plain loop is what one writes first: a centre at a time, each compared with all others, each identity's faces with
each other; the same raw cosines, the same result.
"""

import argparse
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.identity.clean_faces import Faces
from tasks.identity.clean_rules import clean
from tasks.identity.clean_thresholds import Cosines
from tasks.identity.clean_work import CleanConfig

WIDTH = 512
GENUINE = 0.6
"""Mean cosine of two faces of one person; the small real model shows 0.64."""

BROKEN = 0.05
COPIED = 0.03
RAW = CleanConfig(thresholds=Cosines(merge=0.7, ambiguous=0.6, validation=0.7, duplicate=0.9))


def made_faces(identities: int, each: int, seed: int = 0) -> tuple[Faces, NDArray[np.int64]]:
    """Faces of people of whom some are broken in two identities, some faces being copies; and who is who."""
    rng = np.random.default_rng(seed)
    centre = rng.standard_normal((identities, WIDTH)).astype(np.float32)
    centre /= np.linalg.norm(centre, axis=1, keepdims=True)
    count = identities * each
    who = np.repeat(np.arange(identities), each)
    vectors = np.empty((count, WIDTH), np.float16)
    for start in range(0, count, 1 << 16):
        some = who[start : start + (1 << 16)]
        noise = rng.standard_normal((len(some), WIDTH), np.float32)
        raw = GENUINE**0.5 * centre[some] + ((1 - GENUINE) / WIDTH) ** 0.5 * noise
        vectors[start : start + (1 << 16)] = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    copies = np.flatnonzero((np.arange(count) % each > 0) & (rng.random(count) < COPIED))
    vectors[copies] = vectors[copies - 1]
    second = (rng.random(identities) < BROKEN)[who] & (np.arange(count) % each >= each // 2)
    faces = Faces(
        ids=[f"f{i:08d}" for i in range(count)],
        names=[f"i{i:08d}" for i in range(2 * identities)],
        identity=np.where(second, who + identities, who).astype(np.int64),
        photo=np.arange(count),
        score=np.full(count, 0.99, np.float32),
        side_px=rng.uniform(30, 300, count).astype(np.float32),
        norm=rng.uniform(15, 25, count).astype(np.float32),
        embedding=vectors,
        picture=np.arange(count),
        phash=rng.integers(0, 2**63, count, np.uint64),
    )
    return faces, who


def alike(centre: dict[int, NDArray[np.float32]], low: float) -> list[tuple[float, int, int]]:
    """Pairs of centres above a cosine, one centre after the other."""
    names = sorted(centre)
    units = np.stack([centre[i] / np.linalg.norm(centre[i]) for i in names])
    found = []
    for at, name in enumerate(names):
        near = units[at + 1 :] @ units[at]
        found += [(float(near[j]), name, names[at + 1 + j]) for j in np.flatnonzero(near > low)]
    return found


def without_copies(faces: Faces, rows: list[int]) -> list[int]:
    """The better ones first; those that no better one is like."""
    best = sorted(rows, key=lambda i: (-faces.score[i], -faces.side_px[i], i))
    vectors = faces.embedding[best].astype(np.float32)
    stays: list[int] = []
    for at in range(len(best)):
        if all(float(vectors[at] @ vectors[other]) <= 0.9 for other in stays):
            stays.append(at)
    return [best[at] for at in stays]


def plain_loop(faces: Faces) -> dict[int, int]:
    """Face -> identity, by loops over identities; no bonds, no validation, as there are none here."""
    raw = faces.embedding.astype(np.float32) * faces.norm[:, None]
    members = {i: np.flatnonzero(faces.identity == i).tolist() for i in np.unique(faces.identity).tolist()}
    centre = {i: raw[rows].sum(axis=0) for i, rows in members.items() if len(rows) > 1}

    while pairs := alike(centre, 0.7):
        for _, a, b in sorted(pairs, reverse=True):
            if a in centre and b in centre:
                lives, goes = (b, a) if len(members[b]) > len(members[a]) else (a, b)
                members[lives] += members.pop(goes)
                centre[lives] = centre[lives] + centre.pop(goes)
    for _, a, b in alike(centre, 0.6):
        if a in centre and b in centre:
            centre.pop(min(a, b, key=lambda i: (len(members[i]), -i)))
    kept: dict[int, int] = {}
    for name in centre:
        stays = without_copies(faces, members[name])
        kept |= dict.fromkeys(stays, name) if len(stays) > 1 else {}
    return kept


def timed(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    seconds, result = [], None
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), result


def compare(identities: int, each: int, repeats: int) -> None:
    faces, _ = made_faces(identities, each)
    clean(made_faces(50, 4)[0], RAW)
    ours, cleaned = timed(lambda: clean(faces, RAW), repeats)
    plain, kept = timed(lambda: plain_loop(faces), 1)
    mine = {at: int(of) for at, of in enumerate(cleaned.identity.tolist()) if at not in cleaned.removals}
    print(f"{len(faces)} faces, {identities} people: {ours:.1f} s; plain loop {plain:.1f} s; {plain / ours:.1f} times")
    print(f"faces that both keep in the same identity: {len(mine.items() & kept.items())} of {len(mine.keys() | kept)}")


def grow(sizes: Sequence[int], each: int) -> None:
    print("identities    faces  seconds  peak GiB  broken mended  strangers merged  identities lost")
    for size in sizes:
        faces, who = made_faces(size, each)
        seconds, cleaned = timed(lambda faces=faces: clean(faces, CleanConfig()), 1)  # type: ignore[misc]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        kept = np.array([at not in cleaned.removals for at in range(len(faces))])
        broken = np.unique(who[faces.identity >= size])
        pieces = {(int(w), int(i)) for w, i in zip(who[kept], cleaned.identity[kept], strict=True)}
        people_of: dict[int, set[int]] = {}
        for person, identity in pieces:
            people_of.setdefault(identity, set()).add(person)
        mixed = sum(len(people) > 1 for people in people_of.values())
        whole = {person for person, _ in pieces}
        once = [p for p in broken.tolist() if sum((p, i) in pieces for i in (p, p + size)) == 1]
        print(
            f"{size:10d} {len(faces):8d} {seconds:8.1f} {peak:9.2f} {len(once):7d}/{len(broken)} {mixed:16d} "
            f"{size - len(whole):15d}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--identities", type=int, default=10_000)
    parser.add_argument("--faces", type=int, default=10, help="faces of each identity")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--growth", type=int, nargs="*", help="identities; cleaned by rates, without the plain loop")
    given = parser.parse_args()
    if given.growth:
        grow(given.growth, given.faces)
    else:
        compare(given.identities, given.faces, given.repeats)


if __name__ == "__main__":
    main()
