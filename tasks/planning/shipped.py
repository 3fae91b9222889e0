"""What small builds took on one machine, for stores that have measured nothing yet.

Two shared cores of a 2.5 GHz Xeon without a GPU. The numbers of `SHIPPED` are printed by

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
        ("ingest", 1, 4, 4, 0, 1261361, 0.016, 5173),
        ("ingest_mannequins", 1, 60, 60, 0, 2429520, 2.596, 7815),
        ("inspect", 2, 64, 64, 0, 20638, 1.221, 4004),
        ("keypoints", 2, 64, 61, 3, 30295, 1.786, 3829),
        ("describe", 2, 61, 61, 0, 73103, 0.289, 10355),
        ("preview", 2, 61, 61, 0, 3216893, 1.255, 3149),
        ("select", 2, 61, 61, 0, 0, 0.082, 0),
        ("combine", 1, 61, 61, 0, 60776, 0.039, 10482),
    ),
    _flow(
        "webbody",
        70,
        None,
        ("urls", 5, 70, 70, 0, 30245, 0.074, 2510),
        ("download", 5, 70, 70, 0, 4824697, 6.317, 7568),
        ("consent", 5, 70, 70, 0, 0, 0.083, 0),
        ("people", 5, 70, 74, 1, 101703, 4.524, 6505),
        ("faces", 5, 74, 72, 2, 2176200, 1.517, 6723),
        ("recognise", 5, 72, 72, 0, 66857, 0.444, 5034),
        ("gate", 5, 72, 70, 2, 16804, 0.068, 5034),
        ("neighbours", 1, 70, 70, 0, 59686, 0.048, 2783),
        ("identities", 1, 70, 66, 4, 24804, 0.028, 4546),
        ("clean", 1, 66, 66, 0, 21712, 0.03, 4546),
        ("members", 1, 66, 66, 0, 23008, 0.034, 4216),
    ),
    _flow(
        "video_patches",
        1,
        0.1486111111111111,
        ("film", 1, 1, 1, 0, 10158, 2.633, 8434),
        ("windows", 1, 1, 90, 0, 37854, 0.02, 4406),
        ("patches", 1, 90, 90, 0, 11864273, 10.731, 9488),
    ),
    _flow(
        "music_to_pose",
        3,
        0.31447777777777774,
        ("dance", 3, 3, 3, 0, 43589, 6.564, 11718),
        ("clips", 3, 3, 4, 0, 34118, 10.245, 5385),
        ("cut_clips", 3, 4, 4, 0, 2427359, 6.53, 4726),
        ("poses", 3, 4, 4, 0, 569940, 32.252, 4167),
        ("reference", 3, 4, 4, 0, 201520, 1.476, 5122),
        ("music", 3, 4, 4, 0, 483678, 0.61, 3979),
        ("audit", 3, 4, 4, 0, 15762, 0.592, 3968),
        ("split", 1, 4, 4, 0, 4660, 0.037, 3132),
    ),
    _flow(
        "runway_street",
        127,
        None,
        ("looks", 3, 127, 127, 0, 2263027, 0.085, 4518),
        ("inspect", 3, 127, 126, 1, 44304, 0.572, 4014),
        ("labels", 3, 126, 126, 0, 53424, 0.21, 5562),
        ("embed", 3, 126, 126, 0, 83646, 2.646, 2628),
        ("groups", 1, 126, 126, 0, 44744, 0.04, 6174),
        ("classifier", 1, 1, 1, 0, 50415, 8.741, 2502),
        ("predict", 3, 126, 126, 0, 43385, 0.044, 4129),
        ("trends", 1, 84, 84, 0, 25695, 0.044, 7184),
    ),
)

SHIPPED = {each.flow: each for each in _FLOWS}
"""By flow."""
