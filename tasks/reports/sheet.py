"""The sample sheet of a run: Markdown with its pictures in it, the one form that the UI shows without a web server."""

from base64 import b64decode
from collections.abc import Iterator, Sequence
from typing import Final

from tasks.exports.card import plain
from tasks.images.decode import decode_rgb
from tasks.images.sheet import contact_sheet, jpeg_within
from tasks.reports.build_facts import BuildFacts, said
from tasks.reports.drawn import Sheet
from tasks.reports.elements import data_uri
from tasks.reports.examples import Examples
from tasks.reports.pictures import Wanted
from tasks.reports.rejected import RejectedFor

MOST_BYTES: Final = 1_500_000
"""Of the Markdown: what the page of a run loads at once."""

_DRAWN_BYTES: Final = 600_000
"""Of the JPEGs of kept samples together; a third more as Base64."""

_STRIP_BYTES: Final = 60_000
"""Of the JPEG of a reason's pictures."""

_ACROSS, _TILE_PX = 6, 176

_LAST: Final = "More was rejected than fits here; the page of the build tells of it."


def sheet_markdown(build: BuildFacts, examples: Examples, most_bytes: int = MOST_BYTES) -> str:
    """Kept samples, drawn by the flow where it draws them, and rejected ones by stage and reason; texts are escaped.

    Args:
        most_bytes: of the result, no less than what kept samples take; reasons that do not fit are said to be missing.
    """
    parts = [f"**{len(examples.ids):,} samples kept** by {plain(build.name)}."]
    sheets = examples.sheets or _undrawn(examples)
    for sheet in sheets:
        parts += [f"### {plain(sheet.title)}", _image(sheet, _DRAWN_BYTES // len(sheets))]
    left = most_bytes - len("\n\n".join((*parts, _LAST)).encode()) - 2
    for part in _rejected(examples):
        left -= len(part.encode()) + 2
        if left < 0:
            parts.append(_LAST)
            break
        parts.append(part)
    return "\n\n".join(parts) + "\n"


def _undrawn(examples: Examples) -> tuple[Sheet, ...]:
    """Kept samples as they are; nothing where none has a picture."""
    shown = [each for each in examples.kept if each in examples.pictures][: 2 * _ACROSS]
    uris = [examples.pictures[each] for each in shown]
    return (_strip("Some of them", uris, [each.sample_id for each in shown]),) if shown else ()


def _rejected(examples: Examples) -> Iterator[str]:
    yield "## Rejected" if examples.rejected else "Nothing was rejected."
    for group in examples.rejected:
        yield "\n\n".join(_group(group, examples))


def _group(group: RejectedFor, examples: Examples) -> Iterator[str]:
    """Some samples: their pictures by number, and a line of each."""
    where = f"{group.stage} (looked up)" if group.beside else group.stage
    yield f"### {plain(where)}: {plain(group.reason)}, {group.count:,}"
    uris = {
        str(number): examples.pictures[wanted]
        for number, each in enumerate(group.examples, 1)
        if (wanted := Wanted(each.sample_id, group.stage)) in examples.pictures
    }
    if uris:
        yield _image(_strip(group.reason, [*uris.values()], [*uris]), _STRIP_BYTES)
    yield "\n".join(
        f"{number}. {plain(said(each.detail, 300))} · {plain(said(each.sample_id, 200))}"
        for number, each in enumerate(group.examples, 1)
    )


def _strip(title: str, uris: Sequence[str], labels: Sequence[str]) -> Sheet:
    """One picture: the UI sets several one under the other."""
    pictures = [decode_rgb(b64decode(uri.partition(",")[2])) for uri in uris]
    return Sheet(title, contact_sheet(pictures, labels, _ACROSS, _TILE_PX))


def _image(sheet: Sheet, most_bytes: int) -> str:
    return f"![{plain(sheet.title)}]({data_uri(jpeg_within(sheet.picture, most_bytes))})"
