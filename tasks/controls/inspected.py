"""What inspection says of pictures whose size, turn, bytes and colours are known."""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from tasks.controls.finding import Finding
from tasks.controls.passage import Came
from tasks.controls.pictures import BLUE, Photo, blocks, grey_blocks, person, photo
from tasks.schema.rejections import Reason

STAGE: Final = "inspect"

BITS: Final = 6
"""Of 64 in which hashes of a picture in colour and of its grey may differ; turned into the other order of channels, the
picture's bright and dark fields change places."""

REJECTED: Final = {
    "control/cut": Reason.IMAGE_TRUNCATED,
    "control/small": Reason.IMAGE_TOO_SMALL,
    "control/empty": Reason.IMAGE_MISSING,
    "control/text": Reason.IMAGE_FORMAT_UNSUPPORTED,
}
"""Controls that inspection must leave out."""


def unusable(side: int, min_side: int) -> list[Photo]:
    """The pictures of `REJECTED`."""
    whole = photo("control/cut", person(0, side).photo, "JPEG")
    small = blocks(max(1, min_side - 1), 5)
    return [
        Photo(whole.name, whole.upright, whole.data[: len(whole.data) // 2], whole.format),
        photo("control/small", small),
        Photo("control/empty", whole.upright, b"", ""),
        Photo("control/text", whole.upright, b"no picture at all, but long enough to be looked at", ""),
    ]


def coloured(side: int) -> list[Photo]:
    """A board of red and blue, as PNG, as JPEG and turned, and the greys that are as bright."""
    board = blocks(side, 1)
    board[:, : side // 4] = BLUE
    grey = grey_blocks(side, 1)
    grey[:, : side // 4] = grey.min()
    wide = board[: side * 3 // 4]
    return [
        photo("control/board", board),
        photo("control/board-jpeg", board, "JPEG"),
        photo("control/board-grey", grey),
        photo("control/wide", wide),
        *(photo(f"control/wide-{turn}", wide, "JPEG" if turn == 6 else "PNG", turn) for turn in (3, 6, 8)),
    ]


_ALIKE: Final = (
    ("control/board", "control/board-jpeg"),
    ("control/board", "control/board-grey"),
    *(("control/wide", f"control/wide-{turn}") for turn in (3, 6, 8)),
)


def inspect_findings(came: Came, photos: Sequence[Photo]) -> list[Finding]:
    """Compare the rows of inspection with what its photos are; rejected ones are passed over."""
    seen = [(each, came.kept[each.name]) for each in photos if each.name in came.kept]
    sizes = {p.name: (row["height"], row["width"]) == p.upright.shape[:2] for p, row in seen}
    turns = {p.name: row["exif_orientation"] == p.orientation for p, row in seen}
    kinds = {p.name: row["format"] == p.format for p, row in seen}
    digests = {
        p.name: (row["sha256"], row["encoded_bytes"]) == (sha256(p.data).hexdigest(), len(p.data)) for p, row in seen
    }
    hashes = {name: row["phash"] for name, row in came.kept.items()}
    pairs = [(hashes[a] ^ hashes[b]).bit_count() for a, b in _ALIKE if a in hashes and b in hashes]
    others = [
        (hashes[a] ^ hashes[b]).bit_count() for a, b in (("control/board", "control/wide"),) if {a, b} <= {*hashes}
    ]
    return [
        Finding.none_wrong(STAGE, "size of upright photos", sizes, "Width and height after the EXIF orientation."),
        Finding.none_wrong(STAGE, "EXIF orientation", turns),
        Finding.none_wrong(STAGE, "format", kinds),
        Finding.none_wrong(STAGE, "sha256 and size of the bytes", digests, "Against the bytes that were planted."),
        Finding.at_most(
            STAGE,
            "hashes of one picture: JPEG, grey, turned",
            max(pairs, default=64),
            BITS,
            "bits",
            "Red and blue fields look as their greys do, and a photo turned by EXIF as the upright one.",
        ),
        Finding.at_least(STAGE, "hashes of two pictures", min(others, default=64), BITS + 1, "bits"),
    ]
