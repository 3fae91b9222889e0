"""The page of an audit sheet: pictures with boxes; what is ticked is saved as the table, without any network."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from typing import Final

from tasks.audit.questions import Question


@dataclass(frozen=True, eq=False)
class Tile:
    """A sample on the page; `data`: its cells of the table but for the answers; `picture`: JPEG."""

    data: Mapping[str, str]
    picture: bytes


_STYLE: Final = """
body{font:15px/1.4 system-ui,sans-serif;margin:0;color:#222;background:#f4f4f2}
header{position:sticky;top:0;background:#fff;border-bottom:1px solid #ddd;padding:.6rem 1.2rem;display:flex;gap:1.2rem;
align-items:center;flex-wrap:wrap;z-index:1}h1{font-size:1.1rem;margin:0}header output{color:#555}
header input{font:inherit;padding:.2rem .4rem}button{font:inherit;padding:.3rem .9rem;cursor:pointer}
p{max-width:60rem;margin:1rem 1.2rem}main{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));
gap:1rem;padding:0 1.2rem 2rem}fieldset{background:#fff;border:1px solid #ddd;border-radius:6px;margin:0;padding:.7rem;
min-width:0}fieldset.judged{border-color:#2b7a4b;box-shadow:0 0 0 1px #2b7a4b}legend{color:#777;padding:0 .3rem}
img{display:block;width:100%;height:340px;object-fit:contain;background:#eee;border-radius:3px}
.text{margin-top:.6rem;color:#555}.boxes{display:flex;flex-wrap:wrap;gap:.1rem .9rem;margin-top:.2rem}
.boxes.many{display:grid;grid-template-columns:1fr 1fr;margin-top:.6rem}label{cursor:pointer}
.many label.alone{grid-column:1/-1;border-top:1px solid #eee;padding-top:.3rem;margin-top:.2rem}
.told{font-size:13px;overflow-wrap:anywhere;margin-top:.4rem}.told b{font-weight:400;color:#888}
"""

_SCRIPT: Final = """
"use strict";
const photos = [...document.querySelectorAll("fieldset")];
const reviewer = document.getElementById("reviewer");
const columns = document.body.dataset.columns.split(",");
const memory = "audit " + document.body.dataset.sheet;
const questions = photo => [...photo.querySelectorAll(".boxes")];
const ticked = boxes => [...boxes.querySelectorAll("input:checked")].map(box => box.value);
const said = photo => Object.fromEntries(questions(photo).map(boxes => [boxes.dataset.question, ticked(boxes)]));

function show() {
  let judged = 0;
  for (const photo of photos) {
    const yes = questions(photo).every(boxes => ticked(boxes).length > 0);
    photo.classList.toggle("judged", yes);
    judged += yes;
  }
  document.getElementById("count").value = judged + " of " + photos.length + " judged";
}

function remember() {
  const all = {reviewer: reviewer.value, photos: photos.map(said)};
  try { localStorage.setItem(memory, JSON.stringify(all)); } catch (error) { console.warn(error); }
}

function recall() {
  try {
    const all = JSON.parse(localStorage.getItem(memory));
    if (!all) return;
    reviewer.value = all.reviewer;
    photos.forEach((photo, i) => questions(photo).forEach(boxes => boxes.querySelectorAll("input").forEach(box => {
      box.checked = (all.photos[i][boxes.dataset.question] ?? []).includes(box.value);
    })));
  } catch (error) { console.warn(error); }
}

function table() {
  const cell = text => /[",\\r\\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  const rows = photos.map(photo => {
    const answers = said(photo);
    const any = Object.values(answers).some(each => each.length > 0);
    return columns.map(name => cell(
      name === "reviewer" ? (any ? reviewer.value.trim() : "") : answers[name]?.join(";") ?? photo.dataset[name]
    )).join(",");
  });
  return [columns.join(","), ...rows].join("\\r\\n") + "\\r\\n";
}

document.querySelector("main").addEventListener("change", event => {
  const boxes = event.target.closest(".boxes").querySelectorAll("input");
  const alone = box => "alone" in box.dataset;
  if (event.target.checked) boxes.forEach(box => {
    if (box !== event.target && (alone(box) || alone(event.target))) box.checked = false;
  });
  remember();
  show();
});
reviewer.addEventListener("input", remember);
document.getElementById("save").addEventListener("click", () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([table()], {type: "text/csv"}));
  link.download = "audit.csv";
  link.click();
  URL.revokeObjectURL(link.href);
});
recall();
show();
"""

_ORDER: Final = (
    "Begin at the top: the order is random, so the first ones are a fair sample if you stop early. What you tick is "
    "remembered by this browser until you save it."
)


def audit_page(
    title: str, advice: str, tiles: Sequence[Tile], questions: Sequence[Question], columns: Sequence[str]
) -> str:
    """The page as HTML. It loads nothing and runs no script but its own.

    Args:
        title, advice: text.
        tiles: in the order to show.
        questions: of each tile.
        columns: of the table that is saved.
    """
    script_hash = base64.b64encode(sha256(_SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{script_hash}'"
    sheet = sha256("\n".join(tile.data["sample_id"] for tile in tiles).encode()).hexdigest()[:16]
    head = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f'<style>{_STYLE}</style></head><body data-sheet="{sheet}" data-columns="{",".join(columns)}">\n'
        f'<header><h1>{escape(title)}</h1><label>Your name <input id="reviewer"></label>'
        '<button id="save">Save the table</button><output id="count"></output></header>\n'
        f"<p>{escape(advice)} {escape(_ORDER)}</p>\n<main>\n"
    )
    shown = "".join(_tile(tile, number, questions) for number, tile in enumerate(tiles, 1))
    return f"{head}{shown}</main>\n<script>{_SCRIPT}</script></body></html>\n"


def _tile(tile: Tile, number: int, questions: Sequence[Question]) -> str:
    data = "".join(f' data-{name}="{escape(value)}"' for name, value in tile.data.items())
    told = "".join(
        f"<div><b>{escape(name.replace('_', ' '))}</b> {escape(value)}</div>"
        for name, value in tile.data.items()
        if name not in ("sample_id", "thumbnail")
    )
    picture = base64.b64encode(tile.picture).decode()
    asked = "".join(_asked(question) for question in questions)
    return (
        f'<fieldset{data}><legend>{number}</legend><img loading="lazy" src="data:image/jpeg;base64,{picture}" '
        f'alt="sample {number}"><div class="told">{told}</div>{asked}</fieldset>\n'
    )


def _asked(question: Question) -> str:
    boxes = "".join(
        f'<label{" class=alone" if answer.alone else ""}><input type="checkbox" value="{escape(answer.value)}"'
        f"{' data-alone' if answer.alone else ''}> {escape(answer.label)}</label>"
        for answer in question.answers
    )
    several = not all(answer.alone for answer in question.answers)
    text = f'<div class="text">{escape(question.text)}</div>' if question.text else ""
    return f'{text}<div class="boxes{" many" if several else ""}" data-question="{escape(question.name)}">{boxes}</div>'
