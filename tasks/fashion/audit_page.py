"""The page of an audit sheet: pictures with check boxes; what is ticked is saved as the table, without any network."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from typing import Final

from tasks.schema.fashion import GARMENTS


@dataclass(frozen=True, eq=False)
class AuditTile:
    """A photo on the page; `picture`: JPEG."""

    sample_id: str
    image_id: str
    image_path: str
    thumbnail: str
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
.boxes{display:grid;grid-template-columns:1fr 1fr;gap:.1rem .6rem;margin-top:.6rem}label{cursor:pointer}
label.none{grid-column:1/-1;border-top:1px solid #eee;padding-top:.3rem;margin-top:.2rem}
.file{color:#888;font-size:12px;overflow-wrap:anywhere;margin-top:.4rem}
"""

_SCRIPT: Final = """
"use strict";
const photos = [...document.querySelectorAll("fieldset")];
const reviewer = document.getElementById("reviewer");
const columns = document.body.dataset.columns.split(",");
const memory = "audit " + document.body.dataset.sheet;
const ticked = photo => [...photo.querySelectorAll("input:checked")].map(box => box.value);

function show() {
  let judged = 0;
  for (const photo of photos) {
    const yes = ticked(photo).length > 0;
    photo.classList.toggle("judged", yes);
    judged += yes;
  }
  document.getElementById("count").value = judged + " of " + photos.length + " judged";
}

function remember() {
  const said = {reviewer: reviewer.value, photos: photos.map(ticked)};
  try { localStorage.setItem(memory, JSON.stringify(said)); } catch (error) { console.warn(error); }
}

function recall() {
  try {
    const said = JSON.parse(localStorage.getItem(memory));
    if (!said) return;
    reviewer.value = said.reviewer;
    photos.forEach((photo, i) => photo.querySelectorAll("input").forEach(box => {
      box.checked = said.photos[i].includes(box.value);
    }));
  } catch (error) { console.warn(error); }
}

function table() {
  const cell = text => /[",\\r\\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
  const rows = photos.map(photo => columns.map(name => {
    const said = {garments: ticked(photo).join(";"), reviewer: ticked(photo).length ? reviewer.value.trim() : ""};
    return cell(said[name] ?? photo.dataset[name]);
  }).join(","));
  return [columns.join(","), ...rows].join("\\r\\n") + "\\r\\n";
}

document.querySelector("main").addEventListener("change", event => {
  const boxes = event.target.closest("fieldset").querySelectorAll("input");
  const none = event.target.value === "none";
  if (event.target.checked) boxes.forEach(box => { if ((box.value === "none") !== none) box.checked = false; });
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


def audit_page(title: str, tiles: Sequence[AuditTile], columns: Sequence[str]) -> str:
    """The page as HTML. It loads nothing and runs no script but its own."""
    script_hash = base64.b64encode(sha256(_SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{script_hash}'"
    sheet = sha256("\n".join(tile.sample_id for tile in tiles).encode()).hexdigest()[:16]
    head = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f'<style>{_STYLE}</style></head><body data-sheet="{sheet}" data-columns="{",".join(columns)}">\n'
        f'<header><h1>{escape(title)}</h1><label>Your name <input id="reviewer"></label>'
        '<button id="save">Save the table</button><output id="count"></output></header>\n'
        "<p>Tick all that the person in the middle of the picture wears or carries, also what is partly covered. "
        "Where there is nothing of the list, tick <em>none of these</em>; a photo without a tick counts as not judged. "
        "Begin at the top: the order is random, so the first photos are a fair sample if you stop early. "
        "What you tick is remembered by this browser until you save it.</p>\n<main>\n"
    )
    shown = "".join(_tile(tile, number) for number, tile in enumerate(tiles, 1))
    return f"{head}{shown}</main>\n<script>{_SCRIPT}</script></body></html>\n"


def _tile(tile: AuditTile, number: int) -> str:
    names = (*((each, each) for each in GARMENTS), ("none", "none of these"))
    boxes = "".join(
        f'<label class="{value if value == "none" else "garment"}"><input type="checkbox" value="{escape(value)}"> '
        f"{escape(label)}</label>"
        for value, label in names
    )
    kept = ("sample_id", "image_id", "image_path", "thumbnail")
    data = "".join(f' data-{name}="{escape(getattr(tile, name))}"' for name in kept)
    picture = base64.b64encode(tile.picture).decode()
    return (
        f'<fieldset{data}><legend>{number}</legend><img loading="lazy" src="data:image/jpeg;base64,{picture}" '
        f'alt="photo {number}"><div class="boxes">{boxes}</div>'
        f'<div class="file">{escape(tile.image_id)} {escape(tile.image_path)}</div></fieldset>\n'
    )
