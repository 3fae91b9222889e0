"""Joins the joints of an OpenPose drawing into people."""

from collections import Counter, defaultdict
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.body.drawing_dots import Dots
from tasks.body.drawing_limbs import Links
from tasks.schema.keypoints import OPENPOSE_18

BONES: Final = (0.43, 0.43, 0.63, 0.5, 0.63, 0.5, 1.03, 0.85, 0.85, 1.03, 0.85, 0.85, 0.5, 0.12, 0.2, 0.12, 0.2)
"""Lengths of `OPENPOSE_18.limbs` in torsos (neck to middle of the hips), after Drillis & Contini (1966)."""

_FARTHEST: Final = 1.35
"""A loose part belongs to a person if it lies within this many lengths of the bones between them."""

_SHOWS: Final = (0.1, 1.8)
_TOUCHES: Final = (0.2, 2.5)
_ALONE: Final = (0.6, 1.5)
"""Share of a circle that must show beyond other joints' circles, and how much more a unit of noise: where a limb leads
to it, where it touches its neighbour, where it stands alone."""

_WHOLE: Final = 0.71
_MANY: Final = 8
"""Median score of that many joints below which limbs were blended over them, so that crossings look like joints."""

_ROUND: Final = 0.85
"""The same for both of the latter where limbs are as bright as joints: only a free circle scores so high."""

_HIDING: Final = 0.3
"""How much more than its score a circle may show: the score also counts against it what cannot be."""

_LEFT_KNEE: Final = OPENPOSE_18.index("left_knee")
_OF_LEFT_KNEE: Final = tuple(n for n, limb in enumerate(OPENPOSE_18.limbs) if _LEFT_KNEE in limb)
_MOST_LOOSE_BLUE: Final = 2
"""DWPose draws 21 dots a hand in the left knee's blue: where more than this many have no limb, only those with both of
the knee's limbs are knees."""

_COMPRESSED: Final = 0.05
_FEWEST: Final = 4
_FEWEST_ALIKE: Final = 7
"""Noise from which people of fewer joints are left out, and how many they need where limbs are as bright as joints."""

_BLURRED: Final = 0.2
_LEAST_IN_BLUR: Final = 0.45
_SAME_PLACE: Final = 0.6
"""Noise from which hues alone prove nothing, the score that a circle then needs, and the distance in radii within which
a circle that was also read as another joint is the same one."""

_NEEDS_BOTH: Final = frozenset(
    joint for joint, name in enumerate(OPENPOSE_18.joints) if name.endswith(("elbow", "hip", "knee", "eye", "ear"))
)

Group = dict[int, int]
"""Joint -> candidate."""

Drawn = dict[int, list[tuple[NDArray[np.float32], NDArray[np.float32]]]]
"""Limb -> from where to where it was seen."""


def join(dots: Dots, links: Links, noise: float, *, darkened: bool) -> list[Group]:
    """People as joint -> candidate, the most complete first; candidates that nothing supports are left out.

    Args:
        noise: 0 for a clean drawing, up to 0.3 for one that compression has blurred; asks for more evidence.
        darkened: whether limbs are darker than joints; where they are not, a limb's own middle looks much like a joint.
    """
    shows, touches, alone = (clean + more * noise for clean, more in (_SHOWS, _TOUCHES, _ALONE))
    if not darkened:
        touches = alone = _ROUND
    slack = _HIDING if darkened else 0.0
    visible = _visible_shares(dots, links, shows)
    groups, led_to, drawn = _group(dots, links, visible)
    if not led_to:
        return []
    doubtful = _doubtful(dots, led_to, drawn, darkened=darkened)
    kept: list[Group] = []
    for group in groups:
        least = touches if len(group) > 1 else alone
        sure = {
            j: k
            for j, k in group.items()
            if k not in doubtful and (k in led_to or min(visible[k], float(dots.score[k]) + slack) >= least)
        }
        kept += [sure] if sure else []
    people = _gather(dots, links, kept)
    blended = len(led_to) >= _MANY and bool(np.median(dots.score[sorted(led_to)]) < _WHOLE)
    if noise > _BLURRED or blended or not darkened:
        people = [_beyond_doubt(dots, links, person) for person in people]
    fewest = 1 if noise <= _COMPRESSED and not blended else _FEWEST
    fewest = fewest if darkened else _FEWEST_ALIKE
    return sorted((p for p in people if len(p) >= fewest), key=lambda p: (-len(p), min(p.values())))


def _group(dots: Dots, links: Links, visible: dict[int, float]) -> tuple[list[Group], set[int], Drawn]:
    """Joints that links connect, the best first; those that a limb in sight leads to; and these limbs."""
    groups: dict[int, Group] = {k: {int(dots.joint[k]): k} for k in visible}
    member = {k: k for k in groups}
    linked: set[tuple[int, int]] = set()
    led_to: set[int] = set()
    drawn: Drawn = defaultdict(list)
    for link in links.possible:
        ends = {link.start, link.end}
        if not ends <= visible.keys() or linked & {(link.limb, k) for k in ends}:
            continue
        if not link.shown and _LEFT_KNEE in (dots.joint[link.start], dots.joint[link.end]):
            continue
        a, b = member[link.start], member[link.end]
        if a == b or not _fit(links, groups[a], groups[b]):
            continue
        start, end = dots.xy[link.start], dots.xy[link.end]
        if link.shown and any(_away((start + end)[None] / 2, *other)[0] < dots.radius for other in drawn[link.limb]):
            continue
        for candidate in groups[b].values():
            member[candidate] = a
        groups[a] |= groups.pop(b)
        linked |= {(link.limb, k) for k in ends}
        if link.shown:
            led_to |= ends
            drawn[link.limb].append((start, end))
    return list(groups.values()), led_to, drawn


def _doubtful(dots: Dots, led_to: set[int], drawn: Drawn, *, darkened: bool) -> set[int]:
    """Candidates that something else explains: hands, crossing limbs, a limb's own middle."""
    doubtful: set[int] = set()
    blue = set(dots.of(_LEFT_KNEE).tolist())
    if len(blue - led_to) > _MOST_LOOSE_BLUE:
        ends = {limb: [end.tolist() for part in drawn.get(limb, []) for end in part] for limb in _OF_LEFT_KNEE}
        doubtful |= {k for k in blue if not all(dots.xy[k].tolist() in places for places in ends.values())}
    parts = [(limb, first, last) for limb, seen in drawn.items() for first, last in seen]
    on_limb = np.array([_away(dots.xy, first, last) < dots.radius for _, first, last in parts])
    crossing = on_limb.sum(axis=0) > 1
    doubtful |= set(np.flatnonzero(crossing).tolist()) - led_to
    if not darkened:
        for (limb, first, last), on in zip(parts, on_limb, strict=True):
            to_ends = np.minimum(np.hypot(*(dots.xy - first).T), np.hypot(*(dots.xy - last).T))
            doubtful |= set(np.flatnonzero(on & (dots.joint == limb) & (to_ends > 1.5 * dots.radius)).tolist())
    return doubtful


def _away(places: NDArray[np.float32], first: NDArray[np.float32], last: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distances of places (N, 2) from the line between two others, (N,)."""
    along = last - first
    share = ((places - first) @ along / max(float(along @ along), 1e-6)).clip(0, 1)
    off = places - first - share[:, None] * along
    return np.asarray(np.hypot(off[:, 0], off[:, 1]), np.float32)


def _beyond_doubt(dots: Dots, links: Links, person: Group) -> Group:
    """The joints that even a blurred drawing proves.

    They show well, a limb leads to them, and where it is only one, no other joint explains the circle better. Elbows,
    hips, knees and eyes need both of their limbs; ears have none to spare.
    """
    members = set(person.values())
    led = Counter(
        k for link in links.possible if link.shown and {link.start, link.end} <= members for k in (link.start, link.end)
    )
    proven: Group = {}
    for joint, k in person.items():
        near = np.hypot(*(dots.xy - dots.xy[k]).T) < _SAME_PLACE * dots.radius
        near[k] = False
        beaten = bool((dots.likelihood[near] > dots.likelihood[k]).any())
        lone = led[k] == 1
        if led[k] and dots.score[k] >= _LEAST_IN_BLUR and not (lone and (beaten or joint in _NEEDS_BOTH)):
            proven[joint] = k
    return proven


def _visible_shares(dots: Dots, links: Links, least: float) -> dict[int, float]:
    """Candidates that can all be there at once, and what each shows beyond those that are surer, in circles.

    The surest are those that limbs lead to from other likely candidates.
    """
    support = np.zeros((len(dots.joint), len(OPENPOSE_18.limbs)))
    own = np.sqrt(np.maximum(dots.likelihood, 1e-6))
    for link in links.possible:
        for k in (link.start, link.end):
            support[k, link.limb] = max(support[k, link.limb], link.quality / own[k])
    sureness = own * (support.sum(axis=1) + 0.05 * dots.score)
    explained = np.zeros(len(dots.shown_by), bool)
    visible: dict[int, float] = {}
    for k in np.argsort(-sureness, kind="stable").tolist():
        share = float(min(dots.left_over(explained)[k], max(dots.score[k], 0) + _HIDING))
        if share >= least:
            visible[k] = share
            explained |= dots.explained_by(k)
    return visible


def _fit(links: Links, a: Group, b: Group) -> bool:
    """Whether two parts can be of one person: no joint twice, no limb between them that is not drawn."""
    if not a.keys().isdisjoint(b):
        return False
    return not any(
        (part[start], other[end]) in links.excluded
        for part, other in ((a, b), (b, a))
        for start, end in OPENPOSE_18.limbs
        if start in part and end in other
    )


def _gather(dots: Dots, links: Links, groups: list[Group]) -> list[Group]:
    """Add loose parts to the people that lack them, the nearest first."""
    while len(groups) > 1:
        pairs = [(i, k) for i, k in combinations(range(len(groups)), 2) if _fit(links, groups[i], groups[k])]
        distance, i, k = min(
            ((_distance(dots, groups[i], groups[k]), i, k) for i, k in pairs), default=(_FARTHEST, 0, 0)
        )
        if distance >= _FARTHEST:
            break
        groups = [g for n, g in enumerate(groups) if n not in (i, k)] + [groups[i] | groups[k]]
    return groups


def _distance(dots: Dots, a: Group, b: Group) -> float:
    """Distance of the joints nearest in the skeleton, in lengths of the bones between them."""
    scale = max(_torso(dots, a), _torso(dots, b))
    if scale == 0:
        return float("inf")
    bones, joint_a, joint_b = min((_BETWEEN[i, k], i, k) for i in a for k in b)
    apart = float(np.hypot(*(dots.xy[a[joint_a]] - dots.xy[b[joint_b]])))
    return apart / (float(bones) * scale)


def _torso(dots: Dots, group: Group) -> float:
    """Pixels of a torso as the least foreshortened limb tells it; 0 for a single joint."""
    return max(
        (
            float(np.hypot(*(dots.xy[group[start]] - dots.xy[group[end]]))) / bone
            for (start, end), bone in zip(OPENPOSE_18.limbs, BONES, strict=True)
            if start in group and end in group
        ),
        default=0.0,
    )


def _path_lengths() -> NDArray[np.float64]:
    """Lengths of the bones between each two joints, in torsos, (18, 18)."""
    between = np.full((len(OPENPOSE_18),) * 2, np.inf)
    np.fill_diagonal(between, 0)
    for (start, end), bone in zip(OPENPOSE_18.limbs, BONES, strict=True):
        between[start, end] = between[end, start] = bone
    for via in range(len(OPENPOSE_18)):
        between = np.minimum(between, between[:, via : via + 1] + between[via : via + 1])
    return between


_BETWEEN: Final = _path_lengths()
