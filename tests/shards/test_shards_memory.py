"""What a stage holds does not grow with the shard."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SMALL_MB = 300
SHARD_MB = 1500
MOST_MB = 48
"""That the larger shard may take beyond the smaller one: three row groups of 16 MB. Nothing, but for the allocator."""

PROGRAM = f"""
import sys
from pathlib import Path
from tasks.shards.derive import Derivation, realise
from tasks.shards.store import Store
from tests.peak_memory import peak_mib
from tests.shards.sample_stages import Brightness, KeepSmall, LimitConfig, Make, MakeConfig, NoConfig

def run(config):
    made = Derivation(Make(config))
    small = Derivation(KeepSmall(LimitConfig(limit=15)), (made,))
    return realise(Derivation(Brightness(NoConfig()), (small,), (made,)), Store(Path(sys.argv[1]))).record

run(MakeConfig(part=9, rows={SMALL_MB}, image_bytes=1_000_000))
before = peak_mib()
print(run(MakeConfig(rows={SHARD_MB}, image_bytes=1_000_000)).rows_in, round(peak_mib() - before))
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_larger_shard_takes_no_more_memory(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        check=False,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    rows, megabytes = map(int, done.stdout.split())
    assert rows == SHARD_MB * 15 // 20
    assert megabytes < MOST_MB
