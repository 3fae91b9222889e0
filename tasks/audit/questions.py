"""What is asked of the samples of a dataset."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

RIGHT, WRONG, UNSURE = "right", "wrong", "unsure"


@dataclass(frozen=True)
class Answer:
    """A box to tick; `alone`: it takes back what else was ticked for the question."""

    value: str
    label: str
    alone: bool = False


@dataclass(frozen=True)
class Question:
    """A question and its answers; `name` is its column in the table."""

    name: str
    text: str
    answers: tuple[Answer, ...]

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(answer.value for answer in self.answers)


JUDGED: Final = (
    Answer(RIGHT, "right", alone=True),
    Answer(WRONG, "wrong", alone=True),
    Answer(UNSURE, "?", alone=True),
)


def _judged(name: str, text: str) -> Question:
    return Question(name, text, JUDGED)


ASKED: Final[Mapping[str, tuple[Question, ...]]] = {
    "pose_templates": (
        _judged("one_person", "One person is meant, and it is the main one"),
        _judged("joints_fit", "The joints lie where they are, left and right not swapped"),
        _judged("category_fits", "The category fits"),
        _judged("tags_fit", "The tags are true"),
        _judged("difficulty_fits", "The difficulty fits"),
    ),
    "webbody": (
        _judged("face_clear", "The left picture is one face, upright and sharp enough to know somebody by"),
        _judged("same_person", "Both pictures show the same person"),
    ),
    "video_patches": (
        _judged("patch_clean", "The patch is clean: no cut, fade, text, compression or blur that should not be there"),
        _judged("category_fits", "The category fits"),
    ),
    "music_to_pose": (
        _judged("one_dancer", "One dancer is meant, with all limbs in the picture"),
        _judged("joints_fit", "The joints lie where they are, left and right not swapped"),
    ),
}
"""Flow -> what is asked of each sample of its dataset. Looks have a question of their own: `tasks.fashion.audit`."""
