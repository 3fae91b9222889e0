"""Videos and sounds that a list names by address: fetched once, whole, and kept in the store."""

import re
import time
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from pydantic import Field

from tasks.download.client import Client, refusal_of
from tasks.download.consent import Consent, ConsentPolicy, Judge, Said
from tasks.download.failure import RETRYABLE, Answer, FetchError
from tasks.download.hops import Hop
from tasks.download.transport import NetworkAccess, TransportLimits
from tasks.machine.places import Machine
from tasks.schema.forms import Form
from tasks.schema.records import Frozen
from tasks.shards.files import disk_errors_explained, temporary
from tasks.shards.store import Store

PAUSES_S: Final = (1.0, 5.0)
"""Between tries of what another try may mend."""
NOTE: Final = ".said.json"
"""No name of a video: those do not begin with a point."""
LONGEST_PAUSE_S: Final = 60.0
"""A server that asks for more is asked again by the next run."""


class FetchRules(Form):
    """How videos that a list names by address are fetched."""

    max_gigabytes: float = Field(4.0, title="Most gigabytes", gt=0, le=1000, description="Of one video.")
    timeout_s: float = Field(3600.0, title="Time limit", gt=0, description="Seconds for one video.")
    respect_opt_out: bool = Field(
        True, title="Respect opt-outs", description="Else only the block list counts; what servers say is recorded."
    )
    consent: ConsentPolicy = Field(default_factory=ConsentPolicy, title="Opt-outs")


class Note(Frozen):
    """What was said of a file that was fetched; it lies beside it, so that another policy needs no network."""

    final_url: str
    sha256: str
    headers: dict[str, str]
    hops: tuple[Hop, ...]


def client(rules: FetchRules, machine: Machine) -> Client:
    """What asks: public addresses only, unless the operator allows more."""
    contact = machine.network.contact or "dataset builder"
    return Client(
        TransportLimits(max_body_bytes=int(rules.max_gigabytes * 1e9), total_timeout_s=rules.timeout_s),
        Consent.of(rules.consent, respect=rules.respect_opt_out),
        NetworkAccess(allow_networks=machine.network.allow_networks, user_agent=f"MannequinBot/0.1 (+{contact})"),
    )


def fetched(address: str, asking: Client, store: Store) -> Path:
    """The file with what is at an address, found in the store or fetched into it.

    What was fetched once is not asked for again, only held against the policy of today: remove the file to have it
    anew.

    Raises:
        FetchError: it cannot be had, or is not to be.
        StoreError: the store cannot be written.
    """
    target = store.root / "fetched" / sha256(address.encode()).hexdigest()[:32] / _file_name(address)
    note = target.parent / NOTE
    _demand(address, _noted(note), asking.judge)
    if target.exists():
        return target
    for pause in (*PAUSES_S, None):
        part = temporary(store.tmp)
        try:
            with disk_errors_explained(store.root), store.files.create(part) as out:
                answer = asking.fetch_into(address, out)
                store.files.sync(out)
            with part.open("rb") as stream:
                digest = file_digest(stream, "sha256").hexdigest()
            said = Note(final_url=answer.url, sha256=digest, headers=dict(answer.headers), hops=answer.hops)
            _write(said, note, store)
            _demand(address, said, asking.judge)
            store.files.replace(part, target)
            store.files.sync_folder(target.parent)
        except FetchError as error:
            wait = max(pause or 0.0, error.retry_after_s or 0.0)
            if pause is None or error.reason not in RETRYABLE or wait > LONGEST_PAUSE_S:
                raise
            time.sleep(wait)
        else:
            return target
        finally:
            store.files.remove(part)
    raise AssertionError("the last try returns or raises")


def _demand(address: str, note: Note | None, judge: Judge) -> None:
    said = Said((address,))
    if note is not None:
        said = Said((address, note.final_url), note.hops, note.headers, note.sha256)
    no = judge.objection(said)
    if no is not None:
        raise refusal_of(no, Answer(said.urls[-1], hops=said.hops))


def _noted(path: Path) -> Note | None:
    """The note of a file; None where there is none that can be read."""
    try:
        return Note.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _write(note: Note, path: Path, store: Store) -> None:
    part = temporary(store.tmp)
    try:
        with disk_errors_explained(store.root), store.files.create(part) as out:
            out.write(note.model_dump_json().encode())
            store.files.sync(out)
        store.files.replace(part, path)
    finally:
        store.files.remove(part)


def _file_name(address: str) -> str:
    last = unquote(urlsplit(address).path).rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", last).lstrip(".")[-100:] or "video"
