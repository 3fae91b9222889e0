"""Policies that change: a stricter one leaves rows out without a request, a milder one asks again for those alone."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tasks.download.consent import Consent, ConsentPolicy
from tasks.download.consented import Consented
from tasks.download.fetching import Machine, Patience
from tasks.download.ledger import ledger_table
from tasks.download.released import released
from tasks.download.retry import RetryPolicy, attempts, read_rejects
from tasks.download.stage import Download, DownloadConfig
from tasks.download.transport import TransportLimits
from tasks.schema.errors import ConfigError
from tasks.schema.records import ShardRecord
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tests.download.conftest import LOCAL
from tests.download.listed import ListedUrls, ListedUrlsConfig
from tests.download.url_server import UrlServer

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
RETRY = RetryPolicy(pauses_s=(3600.0,))
CONFIG = DownloadConfig(image_px=64, patience=Patience(tries=1), limits=TransportLimits(total_timeout_s=5.0))
PATHS = ("ok/1", "ok/closed", "robots/noai", "robots/noindex", "robots/noai, noindex", "tdm/1", "status/404")
STRICT = Consent()
CARELESS = Consent.of(ConsentPolicy(), respect=False)


def policy(**changed: Any) -> Consent:
    return Consent.of(ConsentPolicy(**changed))


class Web:
    """A list of URLs on a server, downloaded with the consent of the day."""

    def __init__(self, server: UrlServer, store: Store, paths: tuple[str, ...] = PATHS) -> None:
        self.server, self.store, self.paths = server, store, paths
        urls = tuple(server.url(f"/{path}".replace(" ", "%20")) for path in paths)
        self.listed = Derivation(ListedUrls(ListedUrlsConfig(urls=urls)))

    def plan(self, consent: Consent, now: datetime = NOW) -> list[Derivation]:
        stage = Download(CONFIG, LOCAL, Machine(threads=4), consent=consent, now=lambda: NOW)
        made = attempts(self.store, self.listed, stage, now, RETRY)
        return [*made, *released(self.store, made, stage, now, RETRY)]

    def run(self, consent: Consent) -> list[str]:
        """Download what is due; the paths that were asked for."""
        before = len(self.server.requests)
        while True:
            plan = self.plan(consent)
            ran = [stage for each in plan for stage in realise(each, self.store).ran]
            if not ran:
                break
        return sorted(path[1:].replace("%20", " ") for path, _, _ in self.server.requests[before:])

    def records(self, consent: Consent) -> list[ShardRecord]:
        stage = Consented.of(consent)
        return [realise(Derivation(stage, (each,)), self.store).record for each in self.plan(consent, LONG_AGO)]

    def kept(self, consent: Consent) -> list[str]:
        tables = [pq.read_table(self.store.data_path(record), columns=["url"]) for record in self.records(consent)]
        urls = [url for table in tables for url in table["url"].to_pylist()]
        return sorted(url.split("/", 3)[3].replace("%20", " ") for url in urls)

    def rejected(self, consent: Consent) -> dict[str, dict[str, Any]]:
        tables = [read_rejects(self.store, record) for record in self.records(consent)]
        rows = [row for table in tables for row in table.to_pylist()]
        return {row["source_uri"].split("/", 3)[3].replace("%20", " "): row for row in rows}

    def states(self, consent: Consent) -> dict[str, tuple[str, str | None]]:
        plan = self.plan(consent, LONG_AGO)
        records = [realise(each, self.store).record for each in plan] + self.records(consent)
        rows = ledger_table(self.store, records, RETRY, consent).to_pylist()
        return {row["url"].split("/", 3)[3].replace("%20", " "): (row["status"], row["reason"]) for row in rows}


@pytest.fixture
def web(server: UrlServer, tmp_path: Path) -> Web:
    server.sites["/robots.txt"] = b"User-agent: *\nDisallow: /ok/closed\n"
    return Web(server, Store(tmp_path))


def test_a_stricter_policy_needs_no_request(web: Web, tmp_path: Path) -> None:
    assert len(web.run(CARELESS)) == len(PATHS)
    everything = sorted(set(PATHS) - {"status/404"})
    assert web.kept(CARELESS) == everything
    (record,) = web.records(CARELESS)
    (download,) = web.plan(CARELESS)
    assert record.data.digest == realise(download, web.store).record.data.digest, "nothing to leave out: the same bytes"

    asked = len(web.server.requests) + len(web.server.site_requests)
    assert web.run(STRICT) == []
    assert web.kept(STRICT) == ["ok/1"]
    told = {path: json.loads(json.loads(row["evidence"])["opt_out"]) for path, row in web.rejected(STRICT).items()}
    assert {path: (row["kind"], row["rule"]) for path, row in told.items()} == {
        "ok/closed": ("robots", "disallowed"),
        "robots/noai": ("header", "noai"),
        "robots/noindex": ("header", "noindex"),
        "robots/noai, noindex": ("header", "noai"),
        "tdm/1": ("tdm", "text and data mining is reserved"),
    }
    digest = next(row["sha256"] for row in pq.read_table(web.store.data_path(record)).to_pylist() if "1" in row["url"])
    blocked = tmp_path / "block.txt"
    blocked.write_text(f"{digest}\nhttp://127.0.0.1:{web.server.port}/tdm\n")
    listed = Consent.of(ConsentPolicy(block_list=str(blocked)), respect=False)
    assert {row["reason"] for row in web.rejected(listed).values()} == {"blocked"}
    assert len(web.kept(listed)) == len(everything) - 2
    assert web.states(STRICT)["tdm/1"] == ("failed", "opted_out")
    assert len(web.server.requests) + len(web.server.site_requests) == asked


def test_a_milder_policy_asks_again_for_those_alone(web: Web) -> None:
    """Nothing of this is a picture, so that no decoder has to start."""
    gone = Web(web.server, web.store, ("status/404", "gone/noai", "gone/noindex", "gone/noai, noindex"))
    assert len(gone.run(STRICT)) == 4
    assert {path for path, state in gone.states(STRICT).items() if state[1] == "opted_out"} == set(gone.paths[1:])
    no_ai = policy(directives=("noindex",))
    assert gone.states(no_ai)["gone/noai"] == ("will retry", "opted_out")
    assert gone.run(no_ai) == ["gone/noai"]
    assert gone.states(no_ai)["gone/noai"] == ("failed", "http_gone")
    assert gone.run(no_ai) == gone.run(STRICT) == []
    assert gone.run(CARELESS) == ["gone/noai, noindex", "gone/noindex"]
    assert gone.run(CARELESS) == gone.run(STRICT) == []


@pytest.mark.slow
def test_a_milder_policy_keeps_what_it_allows_and_nothing_else(web: Web) -> None:
    assert len(web.run(STRICT)) == len(PATHS) - 1
    assert web.kept(STRICT) == ["ok/1"]
    assert web.states(STRICT)["robots/noai"] == ("failed", "opted_out")

    no_ai = policy(directives=("noindex",))
    assert web.states(no_ai)["robots/noai"] == ("will retry", "opted_out")
    assert web.states(no_ai)["robots/noai, noindex"] == ("failed", "opted_out")
    assert web.run(no_ai) == ["robots/noai"]
    assert web.kept(no_ai) == ["ok/1", "robots/noai"]
    assert web.states(no_ai)["robots/noai"] == ("fetched", None)
    assert web.run(no_ai) == web.run(STRICT) == []
    assert web.kept(STRICT) == ["ok/1"]

    assert web.run(policy(directives=())) == ["robots/noai, noindex", "robots/noindex"]
    assert web.run(policy(robots_txt=False)) == ["ok/closed"]
    assert web.run(CARELESS) == ["tdm/1"]
    assert web.kept(CARELESS) == sorted(set(PATHS) - {"status/404"})
    assert web.run(STRICT) == web.run(CARELESS) == []
    assert web.kept(STRICT) == ["ok/1"]


def test_what_the_block_list_names_is_not_asked_for_until_it_does_no_more(web: Web, tmp_path: Path) -> None:
    gone = Web(web.server, web.store, ("status/404", "gone/all"))
    blocked = tmp_path / "block.txt"
    blocked.write_text("127.0.0.1\n")
    consent = policy(block_list=str(blocked))
    assert gone.run(consent) == []
    assert not web.server.site_requests
    assert {row[1] for row in gone.states(consent).values()} == {"blocked"}
    blocked.write_text(f"https://127.0.0.1:{web.server.port}/gone\n")
    with pytest.raises(ConfigError, match="has changed"):
        gone.states(consent)
    assert gone.run(policy(block_list=str(blocked))) == ["status/404"]
    assert gone.run(STRICT) == ["gone/all"]


@pytest.mark.slow
def test_a_released_url_that_fails_is_tried_again(web: Web) -> None:
    lone = Web(web.server, web.store, ("flakyno/1", "ok/1"))
    assert lone.run(STRICT) == ["flakyno/1", "ok/1"]
    assert lone.run(CARELESS) == ["flakyno/1"]
    assert lone.states(CARELESS)["flakyno/1"] == ("gave up", "http_server_error")
    patient = RetryPolicy(pauses_s=(3600.0, 3600.0))
    stage = Download(CONFIG, LOCAL, consent=CARELESS, now=lambda: NOW)
    made = attempts(lone.store, lone.listed, stage, NOW + timedelta(hours=2), patient)
    again = released(lone.store, made, stage, NOW + timedelta(hours=2), patient)
    assert [each.stage.params()["attempt"] for each in again] == [1, 2]
    assert realise(again[1], lone.store).record.rows_kept == 1


def test_the_policy_is_no_part_of_a_download_but_of_what_it_keeps() -> None:
    download = Download(CONFIG, LOCAL)
    assert download.params() == replace(download, consent=CARELESS).params()
    assert Consented.of(STRICT).params() != Consented.of(CARELESS).params()
    one, other = policy(directives=("noai", "NoIndex ")), policy(directives=("noindex", "noai", "noai"))
    assert Consented.of(one).params() == Consented.of(other).params()
