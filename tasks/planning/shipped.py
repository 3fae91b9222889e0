"""What small builds took on one machine, for stores that have measured nothing yet.

Two shared cores of a 2.5 GHz Xeon without a GPU, other work beside it. The numbers of `SHIPPED` are printed by

    python -m tests.lineage.remake_builds STORE
    python -m tests.benchmarks.bench_planning STORE

(real photos, videos and weights; models: yolov8n-pose, retinaface-mobilenet0.25, mobilefacenet-128, ResNet50), those of
`JOINED` by the benchmark named beside each.
"""

from tasks.planning.costs import FlowCosts, StageCost, timed_on

WHERE = "small builds on two shared cores of a 2.5 GHz Xeon, without a GPU"

JOINED = {
    "neighbours": (100_000, 61.0),  # python -m tests.benchmarks.bench_neighbours --faces 100000
    "identities": (100_000, 7.3),  # python -m tests.benchmarks.bench_linkage --spaces angled
    "clean": (30_000, 2.9),  # python -m tests.benchmarks.bench_clean --identities 3000 --repeats 1
}
"""Stage -> rows, and seconds for them: what small builds say nothing of."""

Line = tuple[str, int, int, int, int, int, float | None, int]
"""Stage, shards, rows in, rows out, rejected, bytes, seconds, fixed bytes of a shard."""


def _flow(flow: str, items: int, minutes: float | None, *lines: Line) -> FlowCosts:
    stages = [
        StageCost(
            stage=stage,
            shards=shards,
            rows_in=rows_in,
            rows_out=rows_out,
            rejected=rejected,
            bytes=size,
            seconds=seconds,
            timed_rows=0 if seconds is None else rows_in,
            fixed_bytes=fixed,
        )
        for stage, shards, rows_in, rows_out, rejected, size, seconds, fixed in lines
    ]
    return FlowCosts(
        flow=flow,
        items=items,
        minutes=minutes,
        where=WHERE,
        stages=tuple(timed_on(each, *JOINED[each.stage]) if each.stage in JOINED else each for each in stages),
    )


_FLOWS = (
    _flow(
        "pose_templates",
        64,
        None,
        ("ingest", 1, 4, 4, 0, 1261361, 0.047, 5173),
        ("ingest_mannequins", 1, 60, 60, 0, 2429520, 4.247, 7815),
        ("inspect", 2, 64, 64, 0, 20638, 1.81, 4004),
        ("keypoints", 2, 64, 61, 3, 30295, 4.874, 3829),
        ("describe", 2, 61, 61, 0, 73103, 0.769, 10355),
        ("preview", 2, 61, 61, 0, 3216893, 2.736, 3149),
        ("select", 2, 61, 61, 0, 0, 0.034, 0),
        ("combine", 1, 61, 61, 0, 60776, 0.044, 10482),
    ),
    _flow(
        "webbody",
        70,
        None,
        ("urls", 5, 70, 70, 0, 30247, 0.292, 2556),
        ("download", 5, 70, 70, 0, 4824699, 37.577, 7646),
        ("consent", 5, 70, 70, 0, 0, 0.467, 0),
        ("people", 5, 70, 74, 1, 101703, 47.814, 6505),
        ("faces", 5, 74, 72, 2, 2176201, 9.965, 6745),
        ("recognise", 5, 72, 72, 0, 66858, 2.502, 5034),
        ("gate", 5, 72, 70, 2, 16803, 0.312, 5034),
        ("neighbours", 1, 70, 70, 0, 59686, 0.169, 2783),
        ("identities", 1, 70, 66, 4, 24803, 0.107, 4546),
        ("clean", 1, 66, 66, 0, 21712, 0.079, 4546),
        ("members", 1, 66, 66, 0, 22953, 0.143, 4216),
    ),
    _flow(
        "video_patches",
        1,
        0.1486111111111111,
        ("film", 1, 1, 1, 0, 10158, 1.359, 8434),
        ("windows", 1, 1, 90, 0, 37854, 0.042, 4406),
        ("patches", 1, 90, 90, 0, 11864273, 5.509, 9488),
    ),
    _flow(
        "music_to_pose",
        3,
        0.31447777777777774,
        ("dance", 3, 3, 3, 0, 43589, 16.812, 11718),
        ("clips", 3, 3, 4, 0, 34118, 14.598, 5385),
        ("cut_clips", 3, 4, 4, 0, 2427359, 32.392, 4726),
        ("poses", 3, 4, 4, 0, 569940, 105.426, 4167),
        ("reference", 3, 4, 4, 0, 201520, 4.088, 5122),
        ("music", 3, 4, 4, 0, 483678, 1.036, 7909),
        ("audit", 3, 4, 4, 0, 15762, 1.14, 4000),
        ("split", 1, 4, 4, 0, 4660, 0.076, 3132),
    ),
    _flow(
        "runway_street",
        127,
        None,
        ("looks", 3, 127, 127, 0, 2263027, 0.083, 4518),
        ("inspect", 3, 127, 126, 1, 44304, 0.851, 4014),
        ("labels", 3, 126, 126, 0, 53424, 0.154, 5562),
        ("embed", 3, 126, 126, 0, 83646, 0.896, 2628),
        ("groups", 1, 126, 126, 0, 44744, 0.081, 6174),
        ("classifier", 1, 1, 1, 0, 50415, 7.328, 2502),
        ("predict", 3, 126, 126, 0, 43384, 0.112, 4047),
        ("trends", 1, 84, 84, 0, 25695, 0.051, 7184),
    ),
)

SHIPPED = {each.flow: each for each in _FLOWS}
"""By flow."""
