"""Blocks on a Prefect server: saved, missing, old and secret."""

from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import BlockDocumentUpdate
from pydantic import SecretStr

from blocks import Database, HubAccount, ModelZoo, Store, load_database, load_hub, load_models, load_store
from tasks.schema.errors import ConfigError

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.mark.parametrize("load", [load_store, load_database, load_hub, load_models])
def test_default_needs_no_saved_block_and_other_names_do(load) -> None:  # type: ignore[no-untyped-def]
    load("default")
    with pytest.raises(ConfigError, match=r"No block mannequin-[a-z-]+/nobodys is saved"):
        load("nobodys")


def test_a_saved_default_wins(tmp_path: Path) -> None:
    Store(root=str(tmp_path), public_url="https://cdn.example.org").save("default")
    try:
        assert load_store().root == tmp_path
        assert load_store().public_url == "https://cdn.example.org"
    finally:
        Store.delete("default")


def test_secrets_travel_hidden() -> None:
    Database(url=SecretStr("postgresql://u:hunter2@h/d")).save("prod")
    HubAccount(token=SecretStr("hunter2")).save("team")
    with get_client(sync_client=True) as client:
        shown = [document.model_dump_json() for document in client.read_block_documents(include_secrets=False)]
    assert len(shown) >= 2
    assert not [text for text in shown if "hunter2" in text]
    assert load_database("prod").url == "postgresql://u:hunter2@h/d"
    assert load_hub("team").token == "hunter2"


def test_an_old_document_without_newer_fields_loads(tmp_path: Path) -> None:
    ModelZoo(folder=str(tmp_path)).save("old")
    with get_client(sync_client=True) as client:
        document = client.read_block_document_by_name("old", "mannequin-model-zoo")
        client.update_block_document(
            document.id, BlockDocumentUpdate(data={"folder": str(tmp_path)}, merge_existing_data=False)
        )
    assert load_models("old").folder == tmp_path
    assert load_models("old").trust_unknown_digest is False
