"""What a block says without a server: defaults, folders, and nothing secret."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from blocks import Database, HubAccount, ModelZoo, Store
from tasks.schema.errors import ConfigError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MANNEQUIN_HOME", str(tmp_path))
    monkeypatch.delenv("MANNEQUIN_MODELS", raising=False)
    return tmp_path


def test_defaults_lie_under_the_home(home: Path) -> None:
    assert Store().place().root == home
    assert Database().place().embedded_folder == home / "postgres"
    assert Database().place().url == ""
    assert ModelZoo().place().folder == home / "models"
    assert HubAccount().credentials().token is None
    assert HubAccount().credentials().endpoint is None


def test_the_working_copy_of_a_bucket_lies_apart(home: Path) -> None:
    place = Store(url="s3://bucket/Some/prefix/").place()
    assert place.root == home / "buckets" / "bucket_some_prefix"
    assert place.url == "s3://bucket/Some/prefix"


def test_home_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MANNEQUIN_HOME")
    assert Store().place().root == Path.home() / ".mannequin"


def test_a_relative_home_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANNEQUIN_HOME", "data")
    with pytest.raises(ConfigError, match=r"MANNEQUIN_HOME must be an absolute path, not 'data'"):
        Store().place()


def test_what_is_given_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANNEQUIN_MODELS", "given")
    monkeypatch.chdir(tmp_path)
    assert Store(root="~/poses", public_url="https://cdn.example.org/p/").place().root == Path.home() / "poses"
    assert Store(public_url="https://cdn.example.org/p/").place().public_url == "https://cdn.example.org/p"
    assert Database(url=SecretStr("postgresql://u:p@h/d")).place().url == "postgresql://u:p@h/d"
    assert ModelZoo(folder="/models").place().folder == Path("/models")
    assert ModelZoo().place().given == tmp_path / "given"
    assert HubAccount(endpoint="http://127.0.0.1:1/").credentials().endpoint == "http://127.0.0.1:1"


def test_the_database_of_a_service_is_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANNEQUIN_DATABASE_URL", "postgresql://u:p@h/service")
    assert Database().place().url == "postgresql://u:p@h/service"
    assert Database(url=SecretStr("postgresql://u:p@h/d")).place().url == "postgresql://u:p@h/d"
    monkeypatch.setenv("MANNEQUIN_DATABASE_URL", "mysql://u:p@h/d")
    with pytest.raises(ConfigError, match=r"MANNEQUIN_DATABASE_URL must start with postgresql://"):
        Database().place()


@pytest.mark.parametrize(
    ("block", "fields"),
    [
        (Store, {"root": "data"}),
        (Store, {"public_url": "cdn.example.org"}),
        (Store, {"url": "bucket/x"}),
        (Store, {"url": "s3://bucket/x", "endpoint": "minio:9000"}),
        (ModelZoo, {"folder": "models"}),
        (HubAccount, {"endpoint": "hub.example.org"}),
        (Database, {"url": "mysql://root:hunter2@h/d"}),
    ],
)
def test_what_does_not_fit_is_refused(block: type, fields: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        block(**fields)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "block",
    [
        Database(url=SecretStr("postgresql://u:hunter2@h/d")),
        HubAccount(token=SecretStr("hunter2")),
        Store(url="s3://bucket/x", key=SecretStr("hunter2"), secret=SecretStr("hunter2")),
    ],
)
def test_secrets_are_not_shown(block: Database | HubAccount | Store) -> None:
    plain = block.credentials() if isinstance(block, HubAccount) else block.place()
    for shown in (repr(block), str(block), repr(plain), str(plain), json.dumps(block.model_dump(mode="json"))):
        assert "hunter2" not in shown


def test_a_secret_of_the_wrong_type_is_not_shown() -> None:
    with pytest.raises(ValidationError) as caught:
        Database.model_validate({"url": ["hunter2"]})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("kind", [Store, Database, HubAccount, ModelZoo])
def test_every_field_has_a_default_and_words_for_the_form(kind: type[Store]) -> None:
    for field in kind.model_fields.values():
        assert not field.is_required()
        assert field.title
        assert field.description
