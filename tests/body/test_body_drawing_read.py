from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.body.drawing import draw_openpose, draw_skeleton_on
from tasks.body.read_drawing import looks_like_drawing, read_for_photo, read_openpose_drawing
from tasks.ingest.mannequins import Mannequin, render_mannequin
from tasks.schema.errors import ShapeError
from tasks.schema.keypoints import OPENPOSE_18, Keypoints
from tests.body.other_annotators import Draw, blended, limbs_first, person_by_person, with_hands_and_faces
from tests.body.reading import Tally, jpeg, resized

SEED = 3


@pytest.fixture(scope="module")
def mannequins() -> list[Mannequin]:
    return [render_mannequin(SEED, index) for index in range(24)]


def read_all(
    mannequins: list[Mannequin], draw: Draw = draw_openpose, scale: float = 1.0, quality: int | None = None
) -> Tally:
    tally = Tally()
    for mannequin in mannequins:
        drawing = resized(draw(mannequin.keypoints, 512, 512), scale)
        read = read_openpose_drawing(drawing if quality is None else jpeg(drawing, quality))
        tally.add(mannequin.keypoints, read, scale)
    return tally


@pytest.mark.parametrize(
    "scale", [pytest.param(0.5, marks=pytest.mark.slow), 1.0, pytest.param(2.0, marks=pytest.mark.slow)]
)
def test_clean_drawings_are_read_exactly(mannequins: list[Mannequin], scale: float) -> None:
    tally = read_all(mannequins, scale=scale)
    assert (tally.missed, tally.invented, tally.person_share) == ([], [], 1.0)
    assert np.median(tally.errors) < 0.4
    assert np.quantile(tally.errors, 0.95) < 1


@pytest.mark.slow
def test_compressed_and_resized_drawings_meet_the_targets(mannequins: list[Mannequin]) -> None:
    """Targets: median 1.5 px, 95th percentile 3 px, recall 0.98, right person 0.98, nothing invented."""
    rng = np.random.default_rng(SEED)
    tally = Tally()
    for mannequin in mannequins * 2:
        scale, quality = float(rng.uniform(0.5, 2)), int(rng.integers(50, 96))
        drawing = jpeg(resized(mannequin.drawing, scale), quality)
        tally.add(mannequin.keypoints, read_openpose_drawing(drawing), drawing.shape[1] / 512)
    assert tally.invented == []
    assert np.median(tally.errors) <= 1.5 / 3
    assert np.quantile(tally.errors, 0.95) <= 3 / 2
    assert tally.recall >= 0.98
    assert tally.person_share >= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("quality", [50, 60, 75, 85, 95])
@pytest.mark.parametrize("scale", [0.5, 0.65, 0.8, 1.0, 1.5, 2.0])
def test_nothing_is_invented_at_any_compression(mannequins: list[Mannequin], scale: float, quality: int) -> None:
    """At 256 pixels with colours at half resolution little can be proven: there joints are missing, not invented."""
    tally = read_all(mannequins, scale=scale, quality=quality)
    assert len(tally.invented) <= 2e-3 * tally.drawn
    assert np.median(tally.errors) <= 1.5
    assert np.quantile(tally.errors, 0.95) <= 3
    assert tally.recall >= (0.96 if scale * quality >= 45 else 0.4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(person_by_person, id="person by person"),
        pytest.param(limbs_first, id="limbs first"),
        pytest.param(partial(limbs_first, stick=3, radius=4), id="thin limbs"),
        pytest.param(partial(limbs_first, stick=4, radius=5), id="large joints"),
        pytest.param(partial(limbs_first, stick=2, radius=3), id="thin"),
        pytest.param(partial(limbs_first, stick=8, radius=8), id="thick"),
    ],
)
@pytest.mark.parametrize("quality", [None, 80])
def test_drawings_made_by_others(mannequins: list[Mannequin], draw: Draw, quality: int | None) -> None:
    """Others cut coordinates off to whole pixels, 0.7 pixels on average, so more than that cannot be asked for.

    Thick sticks cover most of a small face, so that not every eye shows.
    """
    tally = read_all(mannequins[:16], draw, quality=quality)
    assert tally.invented == []
    assert tally.recall >= 0.96
    assert tally.person_share == 1
    assert np.median(tally.errors) < 1
    assert np.quantile(tally.errors, 0.95) < 2


@pytest.mark.parametrize(
    ("draw", "recall"),
    [
        pytest.param(blended, 0.4, id="limbs over joints"),
        pytest.param(partial(limbs_first, darkening=1.0), 0.6, id="bright limbs"),
    ],
)
def test_drawings_in_which_limbs_look_like_joints(mannequins: list[Mannequin], draw: Draw, recall: float) -> None:
    """Rare kinds of drawing: joints are read where both brightness and limbs prove them, the others stay missing."""
    tally = read_all(mannequins, draw)
    assert tally.recall >= recall
    assert len(tally.invented) <= 0.01 * tally.drawn
    assert tally.person_share >= 0.95
    assert np.median(tally.errors) < 1.5


def test_hands_and_faces_are_no_joints(mannequins: list[Mannequin]) -> None:
    """White dots hide most of a face here; what is left of the body is read."""
    tally = Tally()
    for mannequin in mannequins:
        below_the_face = mannequin.keypoints.confidence.copy()
        below_the_face[:, [0, 14, 15, 16, 17]] = 0
        read = read_openpose_drawing(with_hands_and_faces(mannequin.keypoints, 512, 512))
        seen = read.confidence.copy()
        seen[:, [0, 14, 15, 16, 17]] = 0
        tally.add(
            Keypoints.from_arrays(OPENPOSE_18, mannequin.keypoints.xy, below_the_face),
            Keypoints.from_arrays(OPENPOSE_18, read.xy, seen),
        )
    assert len(tally.invented) <= 2e-3 * tally.drawn
    assert tally.recall >= 0.9
    assert tally.person_share >= 0.98


@settings(max_examples=40, deadline=None)
@given(index=st.integers(0, 63), gone=st.sets(st.integers(0, 17), max_size=15))
def test_a_joint_that_is_not_drawn_is_not_read(index: int, gone: set[int]) -> None:
    whole = render_mannequin(SEED, index).keypoints
    confidence = whole.confidence.copy()
    confidence[:, sorted(gone)] = 0
    people = Keypoints.from_arrays(OPENPOSE_18, whole.xy, confidence)
    tally = Tally()
    tally.add(people, read_openpose_drawing(draw_openpose(people, 512, 512)))
    assert tally.invented == []


def test_left_stays_left() -> None:
    people = render_mannequin(SEED, 3).keypoints
    mirrored = Keypoints.from_arrays(
        OPENPOSE_18,
        (people.xy * (-1, 1) + (511, 0))[:, list(OPENPOSE_18.mirror)],
        people.confidence[:, list(OPENPOSE_18.mirror)],
    )
    for drawn in (people, mirrored):
        read = read_openpose_drawing(draw_openpose(drawn, 512, 512))
        np.testing.assert_allclose(read.xy, drawn.xy, atol=1.5)


def test_limbs_cut_by_the_border_end_without_a_joint(mannequins: list[Mannequin]) -> None:
    tally = Tally()
    for mannequin in mannequins:
        people = mannequin.keypoints
        cut = mannequin.drawing[60:400, 120:380]
        xy = people.xy - (120, 60)
        height, width = cut.shape[:2]
        inside = ((xy > -0.5) & (xy < (width - 0.5, height - 0.5))).all(axis=2)
        near_border = ((np.abs(xy - (0, 0)) < 6) | (np.abs(xy - (width, height)) < 6)).any(axis=2)
        read = read_openpose_drawing(cut)
        shown = Keypoints.from_arrays(OPENPOSE_18, xy, people.confidence * inside)
        sure = Tally()
        sure.add(shown, read)
        border = {(p, j) for p, j in np.argwhere(near_border).tolist()}
        tally.drawn += sure.drawn
        tally.errors += sure.errors
        tally.missed += [m for m in sure.missed if m not in border]
        tally.invented += sure.invented
    assert tally.invented == []
    assert len(tally.missed) <= 0.01 * tally.drawn


def test_joint_on_the_border_is_read() -> None:
    xy = np.full((1, 18, 2), np.nan)
    xy[0, [1, 2, 3, 5]] = (60, 1), (20, 2), (0, 60), (110, 0)
    people = Keypoints.from_arrays(OPENPOSE_18, xy, np.ones((1, 18)))
    read = read_openpose_drawing(draw_openpose(people, 100, 120))
    np.testing.assert_allclose(read.xy[0, [1, 2, 3, 5]], xy[0, [1, 2, 3, 5]], atol=1.5)


def test_photos_show_nobody(mannequins: list[Mannequin]) -> None:
    for mannequin in mannequins[:12]:
        assert not looks_like_drawing(mannequin.photo)
        assert not looks_like_drawing(draw_skeleton_on(mannequin.photo, mannequin.keypoints))
        assert looks_like_drawing(mannequin.drawing)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((64, 64, 3), np.uint8),
        np.full((64, 64, 3), 255, np.uint8),
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((0, 5, 3), np.uint8),
        np.eye(64, dtype=np.uint8)[..., None].repeat(3, 2) * 255,
        np.eye(64, dtype=np.uint8)[..., None] * np.array([255, 0, 0], np.uint8),
        np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8),
    ],
    ids=["black", "white", "one pixel", "empty", "white line", "red line", "noise"],
)
def test_other_pictures_show_nobody(picture: np.ndarray) -> None:
    assert len(read_openpose_drawing(picture)) == 0


@pytest.mark.parametrize("picture", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_other_arrays_are_refused(picture: np.ndarray) -> None:
    with pytest.raises(ShapeError, match="RGB uint8"):
        read_openpose_drawing(picture)


def test_confidence_lies_within_0_and_1(mannequins: list[Mannequin]) -> None:
    read = read_openpose_drawing(mannequins[0].drawing)
    assert (read.confidence[read.present] > 0).all()
    assert (read.confidence <= 1).all()


def test_drawing_is_left_as_it_is(mannequins: list[Mannequin]) -> None:
    before = mannequins[0].drawing.copy()
    read_openpose_drawing(before)
    assert (before == mannequins[0].drawing).all()


@pytest.mark.parametrize(("width", "height"), [(512, 512), (1024, 1024), (300, 400)])
def test_coordinates_fit_the_photo(mannequins: list[Mannequin], width: int, height: int) -> None:
    people = mannequins[1].keypoints
    read = read_for_photo(mannequins[1].drawing, width, height)
    expected = (people.xy + 0.5) * (width / 512, height / 512) - 0.5
    np.testing.assert_allclose(read.xy, expected, atol=1.5 * width / 512)


def video_frames(path: Path, every: int) -> list[np.ndarray]:
    import av

    with av.open(path) as container:
        return [frame.to_ndarray(format="rgb24") for frame in islice(container.decode(video=0), 0, None, every)]


@pytest.mark.real
def test_drawings_of_a_real_video_are_read(real_data: Path) -> None:
    """Target: 95 % of the frames. The bodies were drawn by DWPose without eyes and ears, but with hands."""
    frames = video_frames(real_data / "dance" / "xdyna_1_openpose_8fps.mp4", every=8)
    read = [read_openpose_drawing(frame) for frame in frames]
    assert np.mean([len(people) == 1 for people in read]) >= 0.95
    assert np.mean([people.present[0].sum() >= 12 for people in read if len(people)]) >= 0.95
    assert not any(people.present[:, 14:].any() for people in read)


@pytest.mark.real
def test_real_photos_show_nobody(real_data: Path) -> None:
    photos = sorted(p for p in (real_data / "people").rglob("*") if p.suffix in (".jpg", ".png"))
    faces = sorted((real_data / "identities" / "lfw").rglob("*.jpg"))
    assert photos
    assert faces
    for path in [*photos, *faces]:
        with Image.open(path) as picture:
            rgb = np.asarray(picture.convert("RGB"))
        assert len(read_openpose_drawing(rgb)) == 0, path
