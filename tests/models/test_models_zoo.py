"""Weights from a real local server, from folders, damaged, changed, raced for."""

import io
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tasks.models.card import ModelCard
from tasks.models.zoo import Zoo, digest_of, verified_file
from tasks.schema.errors import ModelError


def archive(content: bytes) -> bytes:
    """A small file of the form of PyTorch's: a zip."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("model/data.pkl", content)
    return stream.getvalue()


WEIGHTS = archive(b"w" * 300_000)
OTHER = archive(b"o" * 300_000)
DIGEST = sha256(WEIGHTS).hexdigest()


class Weights(BaseHTTPRequestHandler):
    asked: ClassVar[Counter[str]] = Counter()
    seen_headers: ClassVar[dict[str, str]] = {}

    def do_GET(self):
        type(self).asked[self.path] += 1
        type(self).seen_headers = dict(self.headers)
        if self.path == "/moved.pt":
            self.send_response(302)
            self.send_header("Location", "/good.pt")
            self.end_headers()
            return
        bodies = {
            "/good.pt": WEIGHTS,
            "/slow.pt": WEIGHTS,
            "/other.pt": OTHER,
            "/cut.pt": WEIGHTS[:1000],
            "/long.pt": WEIGHTS + b"x",
            "/page.pt": b"<html>log in first</html>",
            f"/a/b/resolve/{'f' * 40}/w/m.pt": WEIGHTS,
        }
        body = bodies.get(self.path)
        self.send_response({"/secret.pt": 401, "/closed.pt": 403}.get(self.path, 200 if body else 404))
        if body:
            self.send_header("Content-Length", str(len(WEIGHTS) if self.path == "/cut.pt" else len(body)))
        self.end_headers()
        if self.path == "/slow.pt":
            time.sleep(0.3)
        self.wfile.write(body or b"")

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def server():
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Weights)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Weights.asked.clear()
    return Zoo(tmp_path / "models")


def card(url: str, **changes) -> ModelCard:
    fields = {
        "name": "tiny",
        "file_name": "tiny.pt",
        "family": "ultralytics-pose",
        "url": url,
        "revision": "v1",
        "sha256": DIGEST,
        "size_bytes": len(WEIGHTS),
        "licence": "MIT",
        "input_spec": "none",
    }
    return ModelCard(**{**fields, **changes})


def leftovers(zoo: Zoo) -> list[str]:
    return sorted(path.name for path in zoo.folder.iterdir()) if zoo.folder.exists() else []


@pytest.mark.parametrize("path", ["good.pt", "moved.pt"])
def test_a_download_is_checked_kept_and_not_repeated(server, zoo, path):
    tiny = card(f"{server}/{path}")
    found = verified_file(tiny, zoo)
    assert (found.path, found.sha256) == (zoo.folder / "tiny.pt", DIGEST)
    assert found.path.read_bytes() == WEIGHTS
    assert verified_file(tiny, zoo) == found
    assert Weights.asked["/good.pt"] == 1
    assert leftovers(zoo) == ["tiny.pt"]


def test_progress_is_logged_where_nobody_looks(server, zoo, caplog):
    caplog.set_level("INFO", "tasks.models.download")
    verified_file(card(f"{server}/good.pt"), zoo)
    assert caplog.messages[-1] == "tiny.pt: 0.3 of 0.3 MB"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("nothing.pt", "HTTP 404: there is no such file"),
        ("secret.pt", "HTTP 401: it needs a token"),
        ("closed.pt", "HTTP 403: access is refused"),
        ("cut.pt", "peer closed connection"),
        ("long.pt", "more than the"),
        ("page.pt", "25 of"),
        ("other.pt", "its sha256 is"),
    ],
)
def test_a_download_that_fails_names_file_address_and_place_and_leaves_nothing(server, zoo, path, says):
    url = f"{server}/{path}"
    with pytest.raises(ModelError) as error:
        verified_file(card(url), zoo)
    message = str(error.value)
    assert says in message
    assert url in message
    assert str(zoo.folder / "tiny.pt") in message
    assert "MANNEQUIN_MODELS" in message
    assert leftovers(zoo) == []


def test_without_network_the_message_says_what_to_do(zoo):
    with pytest.raises(ModelError, match=r"tiny\.pt.*127\.0\.0\.1:9/tiny\.pt.*no network.*Put the right file at"):
        verified_file(card("http://127.0.0.1:9/tiny.pt"), zoo)


def test_models_that_are_here_are_offered_instead(zoo, tmp_path):
    given = tmp_path / "given"
    given.mkdir()
    (given / "yolov8n-pose_dequantised_from_int8.pt").write_bytes(b"whatever")
    with pytest.raises(ModelError, match=r"yolov8n-pose-dequantised.*webbody: config\.bodies\.model"):
        verified_file(card("http://127.0.0.1:9/tiny.pt"), Zoo(zoo.folder, given))


def test_the_given_folder_is_looked_in_first_and_never_written(server, zoo, tmp_path):
    given = tmp_path / "given"
    given.mkdir()
    (given / "tiny.pt").write_bytes(WEIGHTS)
    given.chmod(0o500)
    assert verified_file(card(f"{server}/good.pt"), Zoo(zoo.folder, given)).path == given / "tiny.pt"
    trusting = Zoo(zoo.folder, given, trust_unknown_digest=True)
    assert verified_file(card("", sha256=None, size_bytes=None), trusting).sha256 == DIGEST
    assert sorted(path.name for path in given.iterdir()) == ["tiny.pt"]
    assert not Weights.asked


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git-LFS pointer", id="lfs"),
        pytest.param(WEIGHTS[:1000], "is cut short: 1,000 of the", id="cut"),
        pytest.param(OTHER, "is not the file of the model tiny: its sha256 is", id="another file"),
    ],
)
def test_a_file_that_is_not_the_model_is_refused_in_words(zoo, content, says):
    zoo.folder.mkdir()
    (zoo.folder / "tiny.pt").write_bytes(content)
    with pytest.raises(ModelError, match=says):
        verified_file(card("https://example.org/tiny.pt"), zoo)


def test_an_unknown_digest_needs_a_yes_before_anything_is_asked(server, zoo):
    unknown = card(f"{server}/good.pt", sha256=None, size_bytes=None)
    with pytest.raises(ModelError, match="MANNEQUIN_TRUST_FIRST_DOWNLOAD=1"):
        verified_file(unknown, zoo)
    assert not Weights.asked
    assert leftovers(zoo) == []


def test_an_unknown_digest_is_recorded_once_and_must_stay(server, zoo):
    unknown = card(f"{server}/good.pt", sha256=None, size_bytes=None)
    trusting = Zoo(zoo.folder, trust_unknown_digest=True)
    assert verified_file(unknown, trusting).sha256 == digest_of(unknown, zoo) == DIGEST
    assert (zoo.folder / "tiny.pt.sha256").read_text() == f"{DIGEST}  tiny.pt\n"
    subprocess.run(["sha256sum", "--check", "--quiet", "tiny.pt.sha256"], cwd=zoo.folder, check=True)
    assert verified_file(unknown, zoo).sha256 == DIGEST, "a recorded digest needs no second yes"
    (zoo.folder / "tiny.pt").write_bytes(OTHER)
    with pytest.raises(ModelError, match="has changed"):
        verified_file(unknown, trusting)


def test_a_download_must_match_the_record_too(server, zoo):
    unknown = card(f"{server}/good.pt", sha256=None, size_bytes=None)
    trusting = Zoo(zoo.folder, trust_unknown_digest=True)
    verified_file(unknown, trusting)
    (zoo.folder / "tiny.pt").unlink()
    with pytest.raises(ModelError, match="has changed"):
        verified_file(card(f"{server}/other.pt", sha256=None, size_bytes=None), trusting)
    assert leftovers(zoo) == ["tiny.pt.sha256"]


def test_a_broken_record_is_said(zoo):
    zoo.folder.mkdir()
    (zoo.folder / "tiny.pt.sha256").write_text("")
    with pytest.raises(ModelError, match="holds no sha256"):
        digest_of(card("", sha256=None), zoo)


def test_the_digest_of_a_card_is_known_without_the_file(zoo):
    assert digest_of(card("http://127.0.0.1:9/tiny.pt"), zoo) == DIGEST


def test_a_model_that_nobody_serves_has_to_be_put_in_place(zoo):
    with pytest.raises(ModelError, match=r"cannot be downloaded \(made by hand\)\. Put the right file at"):
        verified_file(card("", origin="made by hand"), zoo)


def test_threads_that_download_at_once_all_get_the_one_file(server, zoo):
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: verified_file(card(f"{server}/slow.pt"), zoo), range(4)))
    assert len(set(found)) == 1
    assert leftovers(zoo) == ["tiny.pt"]


def test_processes_that_trust_at_once_agree_on_one_digest(server, zoo):
    program = (
        "import sys; from pathlib import Path; from tasks.models.card import ModelCard\n"
        "from tasks.models.zoo import Zoo, verified_file\n"
        "card = ModelCard.model_validate_json(sys.argv[1])\n"
        "print(verified_file(card, Zoo(Path(sys.argv[2]), trust_unknown_digest=True)).sha256)"
    )
    told = card(f"{server}/slow.pt", sha256=None, size_bytes=None).model_dump_json()
    command = [sys.executable, "-W", "error", "-c", program, told, str(zoo.folder)]
    root = Path(__file__).parents[2]
    runs = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [(run.communicate(timeout=60)[0].strip(), run.returncode) for run in runs] == [(DIGEST, 0)] * 2
    assert leftovers(zoo) == ["tiny.pt", "tiny.pt.sha256"]


def test_what_a_killed_download_left_is_swept_a_day_later(server, zoo):
    zoo.folder.mkdir()
    for name, age in (("old.part", 90_000), ("new.part", 60)):
        (zoo.folder / name).write_bytes(b"half")
        os.utime(zoo.folder / name, (time.time() - age,) * 2)
    verified_file(card(f"{server}/good.pt"), zoo)
    assert leftovers(zoo) == ["new.part", "tiny.pt"]


def test_a_hub_card_is_asked_from_the_hub_at_its_commit_with_the_token(server, zoo, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    hub = card("", hub_repo="a/b", hub_path="w/m.pt", revision="f" * 40)
    assert verified_file(hub, zoo).path.read_bytes() == WEIGHTS
    assert Weights.seen_headers["authorization"] == "Bearer hf_secret"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (zoo.folder / "tiny.pt").unlink()
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set") as error:
        verified_file(hub, zoo)
    assert "hf_secret" not in str(error.value)


def test_the_environment_says_where(tmp_path, monkeypatch):
    monkeypatch.setenv("MANNEQUIN_HOME", str(tmp_path))
    monkeypatch.delenv("MANNEQUIN_MODELS", raising=False)
    monkeypatch.delenv("MANNEQUIN_TRUST_FIRST_DOWNLOAD", raising=False)
    assert Zoo.from_environment() == Zoo(tmp_path / "models")
    monkeypatch.setenv("MANNEQUIN_MODELS", str(tmp_path))
    monkeypatch.setenv("MANNEQUIN_TRUST_FIRST_DOWNLOAD", "1")
    assert Zoo.from_environment() == Zoo(tmp_path / "models", tmp_path, trust_unknown_digest=True)


def test_a_given_folder_that_is_not_there_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("MANNEQUIN_MODELS", str(tmp_path / "typo"))
    with pytest.raises(ModelError, match=r"MANNEQUIN_MODELS=.*is not a folder"):
        Zoo.from_environment()


@pytest.mark.real
@pytest.mark.parametrize(
    ("file", "name", "says"),
    [
        ("weights_lfs_pointer_Resnet50_Final.pth", "tiny.pth", "git-LFS pointer"),
        ("weights_truncated_yolov8n-pose.pt", "tiny.pt", "cut short"),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_real_bad_weights(real_data, zoo, file, name, says, known):
    zoo.folder.mkdir()
    (zoo.folder / name).write_bytes((real_data / "badinputs" / file).read_bytes())
    promise = {"sha256": DIGEST, "size_bytes": 6_832_633} if known else {"sha256": None, "size_bytes": None}
    with pytest.raises(ModelError, match=says):
        verified_file(card("", file_name=name, **promise), Zoo(zoo.folder, trust_unknown_digest=True))
    assert leftovers(zoo) == [name]
