"""WebBody on real photos with real weights: a photo and a person go, the next nights keep them out."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tasks.face.remembered import remember_face
from tasks.forget.carry_out import carry_out
from tasks.forget.faces import faces_like
from tasks.forget.outside import erase_outside
from tasks.forget.plan import Plan, plan_forget
from tasks.machine.places import Machine
from tasks.schema.rejections import Reason
from tasks.shards.manifest import Manifest, read_manifest
from tasks.shards.store import Store
from tasks.shards.verify import verify_store
from tests.download.url_server import UrlServer
from tests.forget.left_behind import traces
from tests.lineage.remake_builds import PURPOSE, machine, webbody

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

PEOPLE = ("Ariel_Sharon", "Colin_Powell", "Hugo_Chavez")
JOINED = {"neighbours", "identities", "clean", "members"}


def photos(real: Path, person: str, first: int, last: int) -> dict[str, bytes]:
    """Name -> bytes of some photos of a person."""
    paths = sorted((real / "identities" / "lfw" / person).iterdir())[first:last]
    return {f"{person}/{path.name}": path.read_bytes() for path in paths}


def night(here: Machine, server: UrlServer, folder: Path, *lists: dict[str, bytes]) -> tuple[Manifest, set[str]]:
    """A build of some lists; embeddings are kept. Returns its manifest, and the stages that ran."""
    sources = []
    for number, files in enumerate(lists):
        server.files |= files
        listed = folder / f"{number}.lst"
        listed.write_text("".join(f"{n} a {server.url(f'/file/{name}')}\n" for n, name in enumerate(files)))
        sources.append({"name": f"list{number}", "location": str(listed)})
    before = {record.key for record in here.store.records()}
    form = {
        "sources": sources,
        "purpose": PURPOSE,
        "bodies": {"model": "yolov8n-pose-dequantised"},
        "faces": {"model": "retinaface-mobilenet0.25"},
        "recognition": {"model": "mobilefacenet-128", "keep_embeddings": True},
    }
    made = webbody(here, form)
    return made, {record.stage for record in here.store.records() if record.key not in before}


def people(store: Store) -> dict[str, str]:
    """Address -> identity of the members of the last build."""
    (ref,) = read_manifest(store, "webbody").outputs["members"]
    record = store.read_record(ref.stage, ref.key)
    assert record is not None
    rows = pq.read_table(store.data_path(record), columns=["source_uri", "identity"]).to_pylist()
    return {row["source_uri"].partition("/file/")[2]: row["identity"] for row in rows}


def forget(store: Store, plan: Plan, before: Path) -> None:
    """Carry it out, and look for what is left."""
    shutil.copytree(store.root, before)
    sought = traces(Store(before), plan.doomed.roots)
    assert all(sought.needles[each] for each in ("name", "address", "picture", "vector"))
    carry_out(store, plan, lambda doomed, builds: erase_outside(store, doomed, builds=builds))
    assert sought.found([store.root]) == []
    assert verify_store(store).ok
    shutil.rmtree(before)


def test_a_photo_and_a_person_go_and_stay_away(real_data: Path, tmp_path: Path) -> None:
    here = machine(tmp_path / "store", real_data / "models")
    first = {name: data for person in PEOPLE for name, data in photos(real_data, person, 0, 3).items()}
    with UrlServer() as server:
        night(here, server, tmp_path, first)
        named = people(here.store)
        gone = "Ariel_Sharon/Ariel_Sharon_0001.jpg"
        forget(here.store, plan_forget(here.store, [server.url(f"/file/{gone}")]), tmp_path / "before")
        made, ran = night(here, server, tmp_path, first)
        assert ran == JOINED
        assert made.funnel.line("urls").rejected == {Reason.FORGOTTEN: 1}
        assert people(here.store) == {name: who for name, who in named.items() if name != gone}

        like = faces_like(here.store, here.zoo, real_data / "identities/lfw/Colin_Powell/Colin_Powell_0005.jpg")
        assert len(like.matches) == 3
        remember_face(here.store, like.remembered)
        forget(here.store, plan_forget(here.store, faces=[like]), tmp_path / "before")
        further = photos(real_data, "Colin_Powell", 6, 7) | photos(real_data, "Ariel_Sharon", 4, 5)
        made, ran = night(here, server, tmp_path, first, further)
        assert "recognise" in ran
        assert made.funnel.line("gate").rejected[Reason.FORGOTTEN] == 1
        left = people(here.store)
        assert not [name for name in left if name.startswith("Colin")]
        assert {who for name, who in left.items() if name.startswith("Ariel")} == {named[gone]}
        plan = plan_forget(here.store, remembered=True)
        assert plan.doomed.source_uris == {server.url("/file/Colin_Powell/Colin_Powell_0007.jpg")}
        forget(here.store, plan, tmp_path / "before")
        made, ran = night(here, server, tmp_path, first, further)
        assert ran <= JOINED
        assert Reason.FORGOTTEN not in made.funnel.line("gate").rejected
