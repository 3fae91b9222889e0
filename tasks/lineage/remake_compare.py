"""Rows as they were against rows as they are made now, column by column."""

import io
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tasks.lineage.remake_rules import Rule


@dataclass(frozen=True)
class Difference:
    """A column that is not equal: in which way, and whether the rule allows it."""

    column: str
    how: str
    allowed: bool


def differences(stored: pa.Table, remade: pa.Table, rule: Rule) -> tuple[Difference, ...]:
    """The columns in which as many rows of the same ids are not equal.

    Numbers without a fraction, texts and bytes have to be the same. A column that only one of both has differs.
    """
    found = []
    for name in dict.fromkeys((*stored.column_names, *remade.column_names)):
        if name not in stored.column_names or name not in remade.column_names:
            found.append(Difference(name, "the other one has no such column", allowed=False))
            continue
        before, now = (table[name].combine_chunks() for table in (stored, remade))
        if before.type != now.type:
            found.append(Difference(name, f"{before.type} before, {now.type} now", allowed=False))
        elif not before.equals(now):
            found += _in_column(name, before, now, rule)
    return tuple(found)


def _in_column(name: str, before: pa.Array, now: pa.Array, rule: Rule) -> list[Difference]:
    kind = before.type
    if pa.types.is_struct(kind):
        pairs = ((f"{name}.{field.name}", before.field(n), now.field(n)) for n, field in enumerate(kind))
        return [each for path, a, b in pairs if not a.equals(b) for each in _in_column(path, a, b, rule)]
    if not before.is_valid().equals(now.is_valid()):
        return [Difference(name, "a value is missing in one of both", allowed=False)]
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind):
        if not pc.list_value_length(before).equals(pc.list_value_length(now)):
            return [Difference(name, "the lists are not of the same length", allowed=False)]
        inner, other = before.flatten(), now.flatten()
        return [] if inner.equals(other) else _in_column(name, inner, other, rule)
    if pa.types.is_floating(kind):
        return _numbers(name, _floats(before), _floats(now), rule)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return [
            difference_of_bytes(name, a, b, rule)
            for a, b in zip(before.to_pylist(), now.to_pylist(), strict=True)
            if a != b
        ]
    pairs_now = [(a, b) for a, b in zip(before.to_pylist(), now.to_pylist(), strict=True) if a != b]
    a, b = pairs_now[0]
    return [Difference(name, f"{_short(a)} before, {_short(b)} now", allowed=False)]


def _numbers(name: str, before: NDArray[np.float64], now: NDArray[np.float64], rule: Rule) -> list[Difference]:
    missing = np.isnan(before)
    if not np.array_equal(missing, np.isnan(now)):
        return [Difference(name, "a number is missing in one of both", allowed=False)]
    apart = np.abs(before - now)[~missing]
    if not apart.any():
        return []
    relative = float((apart / np.maximum(np.abs(before[~missing]), 1)).max())
    how = f"{int((apart > 0).sum())} of {len(before)} numbers differ, by {float(apart.max()):.3g} at most"
    return [Difference(name, how, allowed=relative <= rule.tolerance)]


def _floats(array: pa.Array) -> NDArray[np.float64]:
    """Its numbers, NaN where there is none."""
    return np.asarray(array.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def difference_of_bytes(name: str, before: bytes, now: bytes, rule: Rule) -> Difference:
    """In which way two files differ; pictures of one size by their PSNR, 8 bits a channel."""
    a, b = _pixels(before), _pixels(now)
    if a is None or b is None:
        return Difference(name, f"{len(before):,} bytes before, {len(now):,} others now", allowed=False)
    if a.shape != b.shape:
        said = f"{a.shape[1]}x{a.shape[0]} pixels before, {b.shape[1]}x{b.shape[0]} now"
        return Difference(name, said, allowed=False)
    error = float(np.square(a.astype(np.float64) - b).mean())
    if not error:
        return Difference(name, "other bytes that show the same pixels", allowed=rule.psnr_db > 0)
    psnr = 10 * np.log10(255**2 / error)
    return Difference(name, f"other pixels, PSNR {psnr:.1f} dB", allowed=0 < rule.psnr_db <= psnr)


def _pixels(data: bytes) -> NDArray[np.uint8] | None:
    """A picture, or the frames of a film below each other; None: it is neither."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError):
        pass
    if data[4:8] != b"ftyp":
        return None
    from tasks.dance.clip_frames import ClipError, clip_frames

    try:
        return np.concatenate([np.concatenate(list(frames)) for frames in clip_frames(data, 32)])
    except (ClipError, ValueError):
        return None


def _short(value: object) -> str:
    said = repr(value)
    return said if len(said) <= 60 else f"{said[:57]}..."
