"""From what a source says of a video to the video on this machine."""

import json
from pathlib import Path

from tasks.dance.videos import DanceVideo, Unfetched
from tasks.download.client import Client
from tasks.download.failure import FetchError
from tasks.m2p.config import MusicToPoseForm
from tasks.m2p.derivations import VideoRead
from tasks.m2p.fetch import client, fetched
from tasks.m2p.sources import DanceEntry, is_address
from tasks.machine.places import Machine


def find_video(entry: DanceEntry, config: MusicToPoseForm, machine: Machine) -> VideoRead:
    """Where a video and its sound lie, fetched if they are named by address, and their digests.

    What cannot be fetched is no error: the video is rejected with the reason.
    """
    asking = client(config.fetch, machine)
    try:
        path = _file(entry.video, asking, machine)
        sound = _file(entry.sound, asking, machine) if entry.sound else None
        unfetched = None
    except FetchError as error:
        path, sound = Path(entry.video), None
        evidence = json.dumps(error.found) if error.found else ""
        unfetched = Unfetched(reason=error.reason, detail=error.detail, evidence=evidence)
    found = DanceVideo.of(
        path,
        entry.name,
        group=entry.group,
        licence=entry.licence,
        sound=sound,
        rules=config.video,
        unfetched=unfetched,
    )
    return VideoRead(video=found.config, path=str(path), sound_path=str(found.sound_path or ""))


def _file(location: str, asking: Client, machine: Machine) -> Path:
    return fetched(location, asking, machine.store) if is_address(location) else Path(location)
