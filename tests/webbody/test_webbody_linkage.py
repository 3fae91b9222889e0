"""Linkage on a machine without torch: it is told by a manifest alone, and is found again by the flow."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.identity.identities import Identities
from tasks.identity.link_density import HdbscanLinkage
from tasks.identity.neighbour_stage import FindNeighbours, NeighboursConfig
from tasks.ingest.hub import HubAccess
from tasks.machine.places import Machine
from tasks.models.zoo import Zoo
from tasks.schema.errors import ConfigError, StoreError
from tasks.shards.derive import Derivation, realise
from tasks.shards.manifest import build_manifest, publish_manifest
from tasks.shards.store import Store
from tasks.webbody.build import UNFINISHED
from tasks.webbody.config import JOINED, PER_PART, STEPS, WebBodyForm
from tasks.webbody.joined import Previous, identities_of
from tasks.webbody.linkage import LinkageForm, linkage_of
from tests.identity.clean_cases import embeddings, person

FORM = WebBodyForm.model_validate(
    {
        "sources": [{"name": "web", "location": "https://example.org/url.lst"}],
        "purpose": {"purpose": "testing", "legal_basis": "consent", "jurisdiction": "EU"},
        "recognition": {"model": "auraface-v1"},
        "until": "neighbours",
    }
)
CROWD = [*person("a", 4, 0), *person("b", 3, 5), *person("c", 2, 9), *person("d", 1, 12)]

ABSENT = (
    *(
        "av",
        "datasets",
        "huggingface_hub",
        "img2dataset",
        "imageio_ffmpeg",
        "librosa",
        "matplotlib",
        "onnx",
        "onnxruntime",
    ),
    *("open_clip", "openvino", "pillow_heif", "psycopg", "ray", "retinaface", "scenedetect", "skops", "timm"),
    *("torch", "torchvision", "ultralytics"),
)
"""What the image of the clustering worker lacks."""

CHILD = f"""
import sys
sys.modules |= dict.fromkeys({ABSENT!r})
import flows.webbody
from tasks.ingest.hub import HubAccess
from tasks.machine.places import Machine
from tasks.models.zoo import Zoo
from tasks.shards.derive import realise
from tasks.shards.store import Store
from tasks.webbody.linkage import LinkageForm, linkage_of
from pathlib import Path
here = Machine(Store(Path(sys.argv[1])), HubAccess(), Zoo.from_environment())
made = realise(linkage_of(LinkageForm(), here), here.store, only=("identities",))
print(made.record.key, *made.ran)
"""


@pytest.fixture
def here(tmp_path: Path) -> Machine:
    return Machine(Store(tmp_path / "store"), HubAccess(), Zoo(tmp_path / "models"))


def publish(here: Machine, form: WebBodyForm, *, neighbours: bool = True) -> tuple[Derivation, Derivation]:
    """A build that has come to its neighbours, or not so far."""
    faces = embeddings(CROWD)
    found = Derivation(FindNeighbours(NeighboursConfig(k=4), "cpu"), (faces,))
    outputs = {"gated": [realise(faces, here.store).record]}
    if neighbours:
        outputs["neighbours"] = [realise(found, here.store).record]
    params = form.build_params() | {"previous": Previous().model_dump(mode="json")}
    publish_manifest(here.store, build_manifest(here.store, UNFINISHED, params, outputs))
    return faces, found


@pytest.mark.slow
def test_it_is_made_without_torch_and_found_with_it(here: Machine) -> None:
    faces, neighbours = publish(here, FORM)
    child = subprocess.run(
        [sys.executable, "-c", CHILD, str(here.store.root)],
        check=False,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"MANNEQUIN_HOME": str(here.store.root), "PREFECT_LOGGING_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
    )
    assert child.returncode == 0, child.stderr
    key, *ran = child.stdout.split()
    assert ran == ["identities"]
    outcome = realise(identities_of(FORM.identities, FORM.recognition, here, [faces], [neighbours]), here.store)
    assert (outcome.record.key, outcome.cached) == (key, True)
    assert outcome.record.rows_kept > 0


def test_density_is_hdbscan(here: Machine) -> None:
    rules = FORM.identities.model_copy(update={"linkage": "density"})
    publish(here, FORM.model_copy(update={"identities": rules}))
    linkage = linkage_of(LinkageForm(), here)
    assert isinstance(linkage.stage, Identities)
    assert linkage.stage.config.linker == HdbscanLinkage()


def test_what_is_missing_is_said(here: Machine) -> None:
    with pytest.raises(StoreError, match="until: neighbours"):
        linkage_of(LinkageForm(), here)
    publish(here, FORM, neighbours=False)
    with pytest.raises(ConfigError, match="until: neighbours"):
        linkage_of(LinkageForm(), here)


def test_every_step_is_of_a_part_or_joined() -> None:
    assert (*PER_PART, *JOINED, "exports") == STEPS
    assert FORM.steps == (*PER_PART, "neighbours")
