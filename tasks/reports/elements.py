"""Pieces of an offline page: one HTML file that loads nothing; all text is escaped, pictures lie in it."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What a browser lets a page without scripts do: show what is in it."""

STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:1160px;padding:0 1rem;color:#222;background:#fafaf8}
h1{font-size:1.7rem;margin:0 0 .3rem}h2{font-size:1.25rem;margin:2.4rem 0 .6rem;border-bottom:1px solid #ddd;
padding-bottom:.2rem}h3{font-size:1.02rem;margin:1.6rem 0 .4rem}p{max-width:52rem;margin:.5rem 0}
table{border-collapse:collapse;font-size:14px}td,th{text-align:left;padding:.22rem .9rem .22rem 0;vertical-align:top;
border-bottom:1px solid #ececec;overflow-wrap:anywhere}th{font-weight:600;color:#555;overflow-wrap:normal}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}code{font-size:13px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.8rem;margin:1.2rem 0}
.tiles div{background:#fff;border:1px solid #e2e2e2;border-radius:6px;padding:.6rem 1rem}
.tiles b{display:block;font-size:1.35rem;font-weight:600;font-variant-numeric:tabular-nums}.tiles span{color:#666}
.caution{border-left:4px solid #c0271b;background:#fdecea;padding:.5rem .9rem;margin:1rem 0;max-width:52rem}
.bad{color:#c0271b;font-weight:600}.fine{color:#666;font-size:13px}
details{margin:.6rem 0}summary{cursor:pointer;color:#1f6f8b}.wide{overflow-x:auto}.keep{white-space:nowrap}
ul{max-width:52rem;padding-left:1.2rem}
.bar{display:flex;width:16rem;height:.85rem;margin-top:.3rem;background:#eee;border-radius:2px;overflow:hidden}
.bar i{display:block;background:#2f7f6f}.bar i.lost{background:#d5604f}
.pictures{display:flex;flex-wrap:wrap;gap:.7rem;margin:.6rem 0}
img{max-width:100%}figure{margin:0;width:160px}
figure img{display:block;width:160px;height:160px;object-fit:contain;background:#fff;
border:1px solid #e2e2e2;border-radius:6px}figcaption{font-size:12px;color:#555;overflow-wrap:anywhere}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(330px,1fr));gap:1rem;align-items:start}
.charts section{background:#fff;border:1px solid #e2e2e2;border-radius:6px;padding:.6rem .9rem;min-width:0}
.charts h3{margin:0 0 .3rem}.charts table{font-size:13px}.charts .bar{width:7rem}
svg{display:block;width:100%;height:90px}
"""


class Html(str):
    """Text that is HTML already and is put in as it is."""

    __slots__ = ()


def document(title: str, body: Iterable[str], style: str = STYLE) -> str:
    """A whole page. It loads nothing and runs no script; `body` is trusted as it is."""
    head = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f"<style>{style}</style></head><body>\n<h1>{escape(title)}</h1>\n"
    )
    return "".join((head, *body, "</body></html>\n"))


def heading(text: str) -> Html:
    """The title of a section."""
    return Html(f"<h2>{inside(text)}</h2>\n")


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Html:
    """A table; whole numbers stand right with their thousands apart, None is empty."""
    names = f"<tr>{''.join(f'<th>{escape(name)}</th>' for name in head)}</tr>\n" if any(head) else ""
    lines = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>\n" for row in rows)
    return Html(f'<div class="wide"><table>{names}{lines}</table></div>\n')


def _cell(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f'<td class="n">{value:,}</td>'
    return f"<td>{inside(value)}</td>"


def inside(value: object) -> Html:
    """A value as HTML, escaped unless it is HTML already."""
    if isinstance(value, Html):
        return value
    return Html("" if value is None else escape(str(value)))


def tiles(counts: Iterable[tuple[str, str | int]]) -> Html:
    """Large numbers with what they count."""
    shown = "".join(
        f"<div><b>{escape(f'{value:,}' if isinstance(value, int) else value)}</b><span>{escape(name)}</span></div>"
        for name, value in counts
    )
    return Html(f'<div class="tiles">{shown}</div>\n')


def folded(summary: str, body: str) -> Html:
    """Something that is shown when asked for; `body` is HTML."""
    return Html(f"<details><summary>{escape(summary)}</summary>{body}</details>\n")


def caution(text: str) -> Html:
    """A paragraph that must not be overlooked."""
    return Html(f'<p class="caution">{inside(text)}</p>\n')


def bar(*shares: float) -> Html:
    """A bar of parts one after the other, each a share of its whole width: kept, then lost."""
    classes = ("", ' class="lost"')
    parts = "".join(
        f'<i{kind} style="width:{100 * min(max(share, 0.0), 1.0):.2f}%"></i>'
        for kind, share in zip(classes, shares, strict=False)
        if share > 0
    )
    return Html(f'<span class="bar">{parts}</span>')


def histogram(counts: Sequence[int]) -> Html:
    """Columns of equal width, the highest as high as the picture."""
    most = max((*counts, 1))
    columns = "".join(
        f'<rect x="{i}" y="{100 - 100 * count / most:.2f}" width="0.92" height="{100 * count / most:.2f}"/>'
        for i, count in enumerate(counts)
        if count
    )
    return Html(
        f'<svg viewBox="0 0 {len(counts)} 100" preserveAspectRatio="none" fill="#2f7f6f" role="img">{columns}</svg>'
    )


def data_uri(encoded: bytes, kind: str = "jpeg") -> str:
    """An encoded picture as an address that needs no network."""
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"


def picture(uri: str, alt: str) -> Html:
    """A picture that lies in the page, by its data URI."""
    return Html(f'<img src="{uri}" alt="{escape(alt)}">')


def figure(uri: str, sample_id: str, caption: str) -> Html:
    """A sample's picture over its caption; the page can be searched for the whole id."""
    return Html(
        f'<figure data-sample="{escape(sample_id)}">{picture(uri, sample_id)}'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
