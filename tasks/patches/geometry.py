"""How large a film is scaled and where in it a patch lies: integers only, the same on every machine.

Sizes are (width, height) in pixels, boxes left, top, right, bottom with right and bottom exclusive.
"""

from typing import Final, Literal

Size = tuple[int, int]
Box = tuple[int, int, int, int]
GroundTruth = Literal["1080p", "native"]

LONGER, SHORTER = 1920, 1080
"""The picture that patches are cut from fits in here. Source: the seed."""

LANDSCAPE: Final = (LONGER, SHORTER)
PORTRAIT: Final = (SHORTER, LONGER)


def base_size(film: Size, ground_truth: GroundTruth) -> Size:
    """The size that a whole upright picture is scaled to: into 1920x1080 (1080x1920 where it stands), never larger."""
    width, height = film
    limit = PORTRAIT if height > width else LANDSCAPE
    if ground_truth == "native" or (width <= limit[0] and height <= limit[1]):
        return film
    if width * limit[1] >= height * limit[0]:
        return limit[0], _rounded(height * limit[0], width)
    return _rounded(width * limit[1], height), limit[1]


def scaled_content(film: Size, content: Box, scaled: Size) -> Box:
    """The picture without its letterbox in the scaled picture; a pixel that is partly letterbox is outside.

    Args:
        film: the upright picture.
        content: in the upright picture.
        scaled: what the upright picture is scaled to.
    """
    left, top, right, bottom = content
    return (
        -(-left * scaled[0] // film[0]),
        -(-top * scaled[1] // film[1]),
        right * scaled[0] // film[0],
        bottom * scaled[1] // film[1],
    )


def fits(film: Size, content: Box, scaled: Size, patch: Size) -> bool:
    """Whether a patch finds room in the scaled picture, off its letterbox."""
    left, top, right, bottom = scaled_content(film, content, scaled)
    return patch[0] <= right - left and patch[1] <= bottom - top


def fitting_size(film: Size, content: Box, base: Size, patch: Size) -> Size | None:
    """The smallest size, from `base` up to the film's own, in which a patch finds room; None: in none of them."""
    if fits(film, content, base, patch):
        return base
    inside = content[2] - content[0], content[3] - content[1]
    if patch[0] > inside[0] or patch[1] > inside[1]:
        return None
    least = max(film[0] * patch[0] // inside[0], film[0] * patch[1] // inside[1], base[0])
    for width in range(least, film[0]):
        scaled = width, _rounded(film[1] * width, film[0])
        if fits(film, content, scaled, patch):
            return scaled
    return film


def patch_box(film: Size, content: Box, scaled: Size, patch: Size, u: float, v: float) -> Box:
    """Where in the scaled picture a patch lies that `fits`.

    Args:
        u: from the left (0) to the right (1) end of the picture without its letterbox.
        v: from its top (0) to its bottom (1).
    """
    left, top, right, bottom = scaled_content(film, content, scaled)
    x = left + min(int(u * (right - left - patch[0] + 1)), right - left - patch[0])
    y = top + min(int(v * (bottom - top - patch[1] + 1)), bottom - top - patch[1])
    return x, y, x + patch[0], y + patch[1]


def _rounded(numerator: int, denominator: int) -> int:
    return max((2 * numerator + denominator) // (2 * denominator), 1)
