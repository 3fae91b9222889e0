"""The search for removed bytes: it sees what readers see."""

import gzip
import io
import tarfile
import zipfile
from base64 import b64encode
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.forget.outside_search import search_for

NEEDLE = b"a picture of nobody that is long enough to be told from noise"


def test_packed_bytes_are_found(tmp_path: Path) -> None:
    vector = np.arange(64, dtype=np.float32)
    rows = pa.table(
        {
            "image": [{"bytes": b"other"}, {"bytes": NEEDLE * 3}],
            "embedding": pa.array([np.zeros(64, np.float32), vector], pa.list_(pa.float32(), 64)),
        }
    )
    pq.write_table(rows, tmp_path / "rows.parquet", compression="zstd")
    np.savez_compressed(tmp_path / "vector.npz", vector)
    with zipfile.ZipFile(tmp_path / "text.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a/b", NEEDLE)
    (tmp_path / "lines.gz").write_bytes(gzip.compress(NEEDLE))
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        inside = tarfile.TarInfo("lines.gz")
        data = gzip.compress(NEEDLE)
        inside.size = len(data)
        tar.addfile(inside, io.BytesIO(data))
    (tmp_path / "page.html").write_bytes(b"<img src='data:image/jpeg;base64," + b64encode(NEEDLE) + b"'>")
    (tmp_path / "plain").write_bytes(b"x" + NEEDLE)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "empty").touch()
    (tmp_path / "link").symlink_to(tmp_path / "plain")
    found = {path.name for path in search_for([tmp_path, tmp_path / "nowhere"], [NEEDLE, b""])}
    assert found == {"rows.parquet", "text.zip", "lines.gz", "set.tar", "page.html", "plain"}
    assert {path.name for path in search_for([tmp_path], [vector.tobytes()])} == {"rows.parquet", "vector.npz"}
    assert search_for([tmp_path / "plain"], [b"nothing"]) == ()
