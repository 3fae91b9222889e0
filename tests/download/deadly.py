"""A preparation that dies of some pictures: their last bytes say how."""

import os
import time
from base64 import b64encode
from typing import Any

CRASHES = b"crash the decoder"
HANGS = b"hang the decoder"


def prepare_or_die(data: bytes, **_: Any) -> dict[str, Any]:
    if data.endswith(CRASHES):
        os.abort()
    if data.endswith(HANGS):
        time.sleep(60)
    return {"jpeg": b64encode(data).decode()}
