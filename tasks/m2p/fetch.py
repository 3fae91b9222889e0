"""Videos and sounds that a list names by address: fetched once, whole, and kept in the store."""

import re
import time
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from pydantic import Field

from tasks.download.failure import RETRYABLE, FetchError
from tasks.download.reuse import DIRECTIVES, ReusePolicy
from tasks.download.transport import Client, NetworkAccess, TransportLimits
from tasks.machine.places import Machine
from tasks.schema.forms import Form
from tasks.shards.files import disk_errors_explained, temporary
from tasks.shards.store import Store

PAUSES_S: Final = (1.0, 5.0)
"""Between tries of what another try may mend."""
LONGEST_PAUSE_S: Final = 60.0
"""A server that asks for more is asked again by the next run."""


class FetchRules(Form):
    """How videos that a list names by address are fetched."""

    max_gigabytes: float = Field(4.0, title="Most gigabytes", gt=0, le=1000, description="Of one video.")
    timeout_s: float = Field(3600.0, title="Time limit", gt=0, description="Seconds for one video.")
    respect_opt_out: bool = Field(True, title="Respect opt-outs", description="Of servers, in their headers.")


def client(rules: FetchRules, machine: Machine) -> Client:
    """What asks: public addresses only, unless the operator allows more."""
    contact = machine.network.contact or "dataset builder"
    return Client(
        TransportLimits(max_body_bytes=int(rules.max_gigabytes * 1e9), total_timeout_s=rules.timeout_s),
        ReusePolicy(directives=DIRECTIVES if rules.respect_opt_out else (), tdm_reservation=rules.respect_opt_out),
        NetworkAccess(allow_networks=machine.network.allow_networks, user_agent=f"MannequinBot/0.1 (+{contact})"),
    )


def fetched(address: str, asking: Client, store: Store) -> Path:
    """The file with what is at an address, found in the store or fetched into it.

    What was fetched once is not asked for again: remove the file to have it anew.

    Raises:
        FetchError: it cannot be had.
        StoreError: the store cannot be written.
    """
    target = store.root / "fetched" / sha256(address.encode()).hexdigest()[:32] / _file_name(address)
    if target.exists():
        return target
    for pause in (*PAUSES_S, None):
        part = temporary(store.tmp)
        try:
            with disk_errors_explained(store.root), store.files.create(part) as out:
                asking.fetch_into(address, out)
                store.files.sync(out)
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


def _file_name(address: str) -> str:
    last = unquote(urlsplit(address).path).rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]+", "_", last).lstrip(".")[-100:] or "video"
