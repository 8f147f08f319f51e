"""The ranks that tiktoken would download: laid where it looks for what it has kept."""

import base64
import hashlib
from pathlib import Path

from tollgate.core.encodings import load_encoding

from bench.programs import ROOT

_URL = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
_FOLDER = ROOT / ".local" / "tiktoken"


def unpack_ranks() -> Path:
    """Return the folder for TIKTOKEN_CACHE_DIR, filled from the layer's ranks.

    Byte for byte what OpenAI serves: tiktoken compares its hash, and would download it otherwise.
    """
    file = _FOLDER / hashlib.sha1(_URL.encode()).hexdigest()  # noqa: S324 - tiktoken's file name
    if not file.is_file():
        encoding = load_encoding("o200k_base")
        ranks = {
            token: encoding.encode_single_token(token) for token in encoding.token_byte_values()
        }
        lines = (
            b"%b %d\n" % (base64.b64encode(token), rank)
            for token, rank in sorted(ranks.items(), key=lambda pair: pair[1])
        )
        _FOLDER.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"".join(lines))
    return _FOLDER
