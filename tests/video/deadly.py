"""Films and sounds that kill the process that decodes them, as a native decoder does that runs out of its buffers, or
that it never comes back from.

`arm` makes decoding deadly in a process; `read_window`, `decode_film` and `decode_sound` are what child processes
run in place of the functions of the same purpose, armed alike.
"""

import ctypes
import faulthandler
import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from typing import Any

from tasks.dance import film_pass
from tasks.ingest import video_frames
from tasks.music import sound_scan, sound_track
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tasks.video import packets, trial

SECONDS = (1.5, 1.8)
"""Packets of films that were decoded in this time are deadly; all of a sound is."""
MARK = "deadly"
"""In the name of deadly files."""
HANGS = "hanging"
"""In the name of files that hang where deadly ones kill."""
PATIENCE_S = 8.0
"""So long the children of an armed process may be silent."""

_read_window, _decode_film, _decode_sound = trial.read_window, film_pass.decode_all, sound_scan.decode_all
_decode_run = video_frames.decode_run


def arm() -> None:
    """Make deadly files deadly for this process, and let its children be armed too."""
    faulthandler.disable()  # pytest's would tell of deaths that are meant
    trial.TRIAL_SILENCE_S = sound_scan.SILENCE_S = PATIENCE_S
    trial.CautiousReader.__init__.__kwdefaults__["timeout_s"] = PATIENCE_S
    trial.read_window, film_pass.decode_all, sound_scan.decode_all = read_window, decode_film, decode_sound
    packets.PacketsAhead.take = _take
    video_frames.decode_run = decode_run
    film_pass._packets, video_frames._packets = _deadly(_film_packets), _deadly(_video_packets)
    sound_track.Decoding._frames = _frames


def realised(derivation: Derivation, store: Store) -> int | None:
    """Exit code of a fresh armed process that makes a derivation; negative: the signal that ended it."""
    process = get_context("spawn").Process(target=_realise, args=(derivation, store))
    process.start()
    process.join(100)
    process.kill()
    return process.exitcode


def deadly_scan(data: bytes, **options: Any) -> dict[str, Any]:
    arm()
    return video_frames.scan_answer(data, **options)


def decode_run(data: bytes, **options: Any) -> int:
    arm()
    return _decode_run(data, **options)


def _realise(derivation: Derivation, store: Store) -> None:
    arm()
    realise(derivation, store)


def read_window(data: bytes, **options: Any) -> bool:
    arm()
    return _read_window(data, **options)


def decode_film(data: bytes, **options: Any) -> int:
    arm()
    return _decode_film(data, **options)


def decode_sound(data: bytes, **options: Any) -> int:
    arm()
    return _decode_sound(data, **options)


_plain_take, _plain_frames = packets.PacketsAhead.take, sound_track.Decoding._frames
_film_packets, _video_packets = film_pass._packets, video_frames._packets


def _take(self: packets.PacketsAhead) -> Any:
    packet = _plain_take(self)
    _die_of_packet(str(self._path), packet)
    return packet


def _deadly(packets_of: Callable[[Any, Any], Iterator[Any]]) -> Callable[[Any, Any], Iterator[Any]]:
    def packets(container: Any, stream: Any) -> Iterator[Any]:
        for packet in packets_of(container, stream):
            _die_of_packet(container.name, packet)
            yield packet

    return packets


def _frames(self: sound_track.Decoding) -> Iterator[Any]:
    _die_of(self.container.name)
    yield from _plain_frames(self)


def _die_of_packet(path: str, packet: Any) -> None:
    first, end = SECONDS
    if packet is not None and packet.pts is not None and first <= packet.pts * packet.time_base < end:
        _die_of(path)


def _die_of(path: str) -> None:
    if HANGS in path:
        ctypes.CDLL(None).sleep(300)
    if MARK in path:
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(60)
