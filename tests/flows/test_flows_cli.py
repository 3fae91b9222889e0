"""The command line: parameters, errors in one line, and nothing heavy before it is needed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from flows.cli import app
from flows.console import flow_names
from flows.parameters import assign, read_config
from flows.places import connect
from flows.printing import summary_lines, table_lines
from tasks.body.drawing import draw_openpose
from tasks.catalog.embedded import start_embedded, stop_embedded
from tasks.catalog.rows import template_rows
from tasks.catalog.seed import seed_templates
from tasks.catalog.similar import upsert_vectors
from tasks.exports.previews import preview_path
from tasks.images.sheet import encode_png
from tasks.poses.similar import pose_vector
from tasks.schema.errors import ConfigError
from tasks.schema.home import server_record
from tasks.schema.keypoints import OPENPOSE_18, Keypoints
from tasks.schema.templates import TEMPLATE_SCHEMA
from tasks.shards.derive import realise_whole
from tasks.shards.store import Store
from tests.poses.figures import ALL, described_row, figure
from tests.shards.sample_stages import build

ROOT = Path(__file__).parents[2]
runner = CliRunner()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MANNEQUIN_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return tmp_path / "home"


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys, flows.cli; print(sorted({'prefect', 'torch', 'pyarrow', 'cv2', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_on_similar_poses_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom flows.cli import app\napp(['similar', '--help'], standalone_mode=False)\n"
        "print(sorted({'prefect', 'torch', 'numpy', 'psycopg', 'pyarrow', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "TEMPLATE|PHOTO" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_flow_names_are_the_datasets() -> None:
    assert "pose_templates" in flow_names()
    assert not {"cli", "console"} & set(flow_names())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["config.limit=3"], {"config": {"limit": 3, "sources": [{"name": "a"}]}}),
        (["config.sources.0.name=b"], {"config": {"limit": 1, "sources": [{"name": "b"}]}}),
        (['config={"limit": 5}'], {"config": {"limit": 5}}),
        (["config.title=a=b"], {"config": {"limit": 1, "sources": [{"name": "a"}], "title": "a=b"}}),
        (["places.store=prod", "config.limit=2", "config.limit=4"],
         {"places": {"store": "prod"}, "config": {"limit": 4, "sources": [{"name": "a"}]}}),
    ],
)  # fmt: skip
def test_words_go_into_the_defaults(words: list[str], expected: dict[str, object]) -> None:
    assert assign({}, words, {"config": {"limit": 1, "sources": [{"name": "a"}]}}) == expected


def test_a_file_comes_before_the_defaults() -> None:
    given = {"config": {"limit": 7}}
    assert assign(given, ["config.name=x"], {"config": {"limit": 1}}) == {"config": {"limit": 7, "name": "x"}}
    assert given == {"config": {"limit": 7}}


@pytest.mark.parametrize(
    "word", ["config", "=3", "config.sources.9.name=b", "config.sources.x=1", "config.limit.deep=1"]
)
def test_words_that_lead_nowhere(word: str) -> None:
    with pytest.raises(ConfigError):
        assign({}, [word], {"config": {"limit": 1, "sources": []}})


@pytest.mark.parametrize("text", ['{"place": "$PLACE/a", "n": [1, "$$x"]}', "place: $PLACE/a\nn: [1, $$x]\n"])
def test_a_configuration_is_json_or_yaml(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "/data")
    path = tmp_path / "config"
    path.write_text(text)
    assert read_config(path) == {"place": "/data/a", "n": [1, "$x"]}


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.json", b'{"a": 1,\n "b": }', "is not JSON: line 2, column 7: Expecting value."),
        ("a.json", b'{"a": "x\n', "is not JSON: line 1, column 9: Invalid control character."),
        ("a.json5", b"// five\n{}", "is not JSON: line 1, column 1: Expecting value."),
        ("a.yaml", b"a:\n - b\n c: d\n", "is not YAML: line 3, column 2: expected <block end>, but found '?'."),
        ("a.yaml", b"a: \x01", "is not YAML: line 1, column 4: special characters are not allowed."),
        ("a", b"{", "is not YAML: line 1, column 2: expected the node content, but found '<stream end>'."),
        ("a.json", b'{\n"a": "\xe9"}', "is not UTF-8: line 2, column 7: byte 0xe9."),
        ("a.json", b"[1, 2]", "is no mapping of names to values, but list."),
        ("a.yaml", b"3", "is no mapping of names to values, but int."),
        ("a.json", b" \n", "is empty."),
        ("a.yaml", b"day: 2024-13-01", "does not read: month must be in 1..12."),
        ("", b"", "cannot be read: Is a directory."),
        ("a.json", None, "cannot be read: No such file or directory."),
    ],
)
def test_a_configuration_that_does_not_read_is_told_in_one_line(
    name: str, data: bytes | None, told: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if data:
        path.write_bytes(data)
    with pytest.raises(ConfigError) as error:
        read_config(path)
    assert str(error.value) == f"The configuration {path} {told}"


def test_a_configuration_may_ask_for_variables(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text("place: $NOWHERE_AT_ALL")
    with pytest.raises(ConfigError, match=r"config holds .* 'NOWHERE_AT_ALL' is not set"):
        read_config(path)


def test_json_is_read_as_json(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b'\xef\xbb\xbf{\n\t"rows": 1e3}')
    assert read_config(path) == {"rows": 1000.0}


@pytest.mark.parametrize("name", ["demo.json", "demo_real.json"])
def test_the_demo_fits_the_form(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.poses.config import PoseTemplatesForm

    monkeypatch.setenv("MANNEQUIN_REAL_DATA", "/real")
    assert PoseTemplatesForm.model_validate(read_config(ROOT / "deployments" / name)).sources


def test_without_a_server_there_is_advice(home: Path) -> None:
    with pytest.raises(ConfigError, match="make up"):
        connect()
    server_record().parent.mkdir(parents=True)
    server_record().write_text(json.dumps({"url": "http://127.0.0.1:9"}))
    with pytest.raises(ConfigError, match="make up"):
        connect()


@pytest.mark.parametrize(
    "words",
    [
        ["run", "nothing"],
        ["run", "webbdy"],
        ["run", "pose_templates", "--verbose"],
        ["run", "pose_templates", "--verbose", "-p", "config.sorces=[]"],
        ["run", "pose_templates", "--verbose", "-p", "runner.kind=rya"],
        ["run", "pose_templates", "--config", "/nowhere.json"],
        ["save", "pose_templates", "--config", "/nowhere.json"],
        ["plan", "webbody", "--rows", "3", "--config", "/nowhere.json"],
        ["commands", "webbody", "--gpus", "2", "--config", "/nowhere.json"],
        ["verify"],
        ["verify", "--store", "elsewhere"],
        ["similar", "pt_0123456789abcdef01234567"],
        ["similar", "pt_0123"],
        ["similar", "nowhere.jpg"],
        ["similar", "x" * 5000],
        ["similar", ""],
        ["similar", __file__],
        ["similar", __file__, "--models", "elsewhere"],
    ],
)
def test_errors_are_one_line_and_exit_1(words: list[str]) -> None:
    done = runner.invoke(app, words)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert done.stderr.count("\n") == 1


def test_what_is_wrong_with_parameters_is_told_before_a_server_is_asked_for() -> None:
    done = runner.invoke(app, ["run", "pose_templates", "--verbose", "-p", "config.source=[]"])
    assert done.stderr.startswith(
        "Error: pose_templates, config.source: there is no such parameter (near: sources); there is sources, "
    )
    done = runner.invoke(app, ["run", "pose_templates", "--verbose", "-p", "runner.kind=rya"])
    assert done.stderr.endswith("runner.kind: Input should be 'threads', 'processes' or 'ray'\n")


@pytest.mark.slow
def test_a_server_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    done = subprocess.run(
        [sys.executable, "-c", "from flows.cli import app; app()", "similar", __file__],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "PREFECT_API_URL=http://127.0.0.1:9/api gives no blocks" in done.stderr


def test_looking_for_poses_starts_no_database(home: Path) -> None:
    done = runner.invoke(app, ["similar", "pt_0123456789abcdef01234567"])
    assert "run the flow pose_templates first" in done.stderr
    assert not home.exists()


def test_similar_poses_of_a_template_and_of_a_drawing(home: Path) -> None:
    samples = [f"made/{number}" for number in range(4)]
    poses = [figure(upper_arms=(-40.0 * number, 10), at=(200, 180)) for number in range(4)]
    described = [
        described_row(sample, keypoints_xy=xy.ravel().tolist()) for sample, xy in zip(samples, poses, strict=True)
    ]
    rows = template_rows(
        pa.Table.from_pylist(described, schema=TEMPLATE_SCHEMA), {sample: preview_path(sample) for sample in samples}
    )
    ids = rows["id"].to_pylist()
    uri = start_embedded(home / "postgres")
    try:
        seed_templates(uri, [rows], "build-1")
        upsert_vectors(uri, ids, np.array([pose_vector(xy, ALL) for xy in poses]))
        done = runner.invoke(app, ["similar", ids[0], "-k", "2"])
        assert done.exit_code == 0, done.stderr
        titles, first, second = done.stdout.splitlines()
        assert titles.split() == ["rank", "similarity", "template", "category", "difficulty", "tags", "preview"]
        assert (first.split()[2], second.split()[2]) == (ids[1], ids[2])

        picture = home / "drawing.png"
        person = Keypoints.from_arrays(OPENPOSE_18, poses[3][None], ALL[None])
        picture.write_bytes(encode_png(draw_openpose(person, 512, 400)))
        done = runner.invoke(app, ["similar", str(picture), "--count", "1"])
        assert done.exit_code == 0, done.stderr
        assert done.stderr == "Main person of 1: 18 of 18 joints, from drawing\n"
        _, similarity, template, *_ = done.stdout.splitlines()[1].split()
        assert float(similarity) > 0.99
        assert template == ids[3]

        for unknown in ("pt_" + "0" * 24, str(home), str(ROOT / "README.md")):
            done = runner.invoke(app, ["similar", unknown])
            assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    finally:
        stop_embedded(home / "postgres")


def test_a_table_is_as_wide_as_what_it_holds() -> None:
    rows = [{"rank": "1", "preview": "/a"}, {"rank": "10", "preview": "/a/long/path"}]
    assert table_lines(rows) == ["rank  preview", "1     /a", "10    /a/long/path"]


def test_status_without_anything(home: Path) -> None:
    done = runner.invoke(app, ["status"])
    assert done.exit_code == 0
    assert str(home) in done.stdout
    assert "make up" in done.stdout


def test_verify_says_what_is_damaged_and_drops_it(home: Path) -> None:
    store = Store(home)
    realise_whole(build(parts=1), store)
    assert "All of it is as it was written" in runner.invoke(app, ["verify"]).stdout
    victim = next(home.glob("shards/make/*/shard-*.parquet"))
    victim.write_bytes(victim.read_bytes()[:-1] + b"x")
    done = runner.invoke(app, ["verify", "--drop-damaged"])
    assert done.exit_code == 1
    assert victim.name in done.stdout
    assert "1 outputs are dropped" in done.stderr
    realise_whole(build(parts=1), store)
    assert runner.invoke(app, ["verify"]).exit_code == 0


class Place(BaseModel):
    inserted: int
    psql: str


class Summary(BaseModel):
    templates: dict[str, int]
    exports: tuple[str, ...] = ()
    seeded: Place | None = Field(None, title="Postgres")
    note: str = ""


def test_a_summary_is_titles_and_values() -> None:
    lines = summary_lines(Summary(templates={"fashion": 3, "sports": 1}, seeded=Place(inserted=4, psql="psql x")))
    assert lines == [
        "Templates            fashion 3, sports 1",
        "Postgres",
        "  Inserted           4",
        "  Psql               psql x",
    ]
