"""The catalog of `make run`: the demo's models and search, and the default models through them.

Channels whose key is in the environment stay real: `OPENAI_API_KEY=… make run` answers the OpenAI
models from api.openai.com.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from tollgate.core.catalog_toml import parse_catalog
from tollgate.core.search_toml import TIMEOUT_S_MAX

DEMO_MODELS = (
    "demo-echo",
    "demo-story",
    "demo-sources",
    "demo-tools",
    "demo-think",
    "demo-error-400",
    "demo-error-401",
    "demo-error-429",
    "demo-error-500",
    "demo-hang",
    "demo-stall",
    "demo-break",
    "demo-error-midstream",
    "demo-no-done",
    "demo-crlf",
    "demo-usage-none",
    "demo-usage-every-chunk",
    "demo-usage-in-finish",
    "demo-usage-wrong",
)
DEMO_IMAGE_MODELS = (
    "demo-image",
    "demo-image-no-usage",
    "demo-image-few",
    "demo-image-more",
    "demo-image-none",
    "demo-image-large",
    "demo-image-slow",
    "demo-image-hang",
    "demo-image-whole",
    "demo-image-break",
    "demo-image-error-400",
    "demo-image-error-401",
    "demo-image-error-429",
    "demo-image-error-500",
)
_DEMO_IMAGE_MODEL = """
[models."{name}"]
kind = "image"
owned_by = "demo"
created = 1792540800
image_tokens = {{ scheme = "flat", base = 100 }}
image_output.scheme = "table"
image_output.sizes."*" = {{ low = 100, medium = 400, high = 1600 }}
price = {{ input = 500, image_input = 800, output = 3000 }}
channels = [{{ channel = "demo-bounded", model = "{name}" }}]
"""
_DEMO_FLAT_MODEL = """
[models."demo-image-flat"]
kind = "image"
owned_by = "demo"
created = 1792540800
image_defaults = { size = "1024x1024", quality = "standard" }
price.images."1024x1024" = { standard = 4, hd = 8 }
price.images."1792x1024" = { standard = 8, hd = 12 }
channels = [{ channel = "demo-bounded", model = "demo-image-flat" }]
"""
# What is waited for in vain, or for a while: its whole attempt has an end that one can wait for.
_BOUNDED = frozenset({"demo-hang"})
_DEMO_MODEL = """
[models."{name}"]
owned_by = "demo"
created = 1792540800
context_tokens_max = 128000
output_tokens_max = 4096
image_tokens = {{ scheme = "tile", base = 85, tile = 170 }}
price = {{ input = 250, cached_input = 125, output = 1000, audio_output = 8000 }}
channels = [{{ channel = "{channel}", model = "{name}" }}]
"""
_DEMO_CHANNEL = """
# --- the demo upstream of `make run`

[channels.demo]
base_url = "{url}"
timeouts = {{ connect_s = 2, first_byte_s = {first_byte_s}, between_bytes_s = {first_byte_s} }}

[channels.demo-bounded]
base_url = "{url}"

[channels.demo-bounded.timeouts]
connect_s = 2
first_byte_s = {first_byte_s}
between_bytes_s = {first_byte_s}
total_s = {total_s}
"""

_DEMO_SEARCH = """
# --- the demo search of `make run`

[search.demo]
kind = "searxng"
base_url = "{url}"
price = 0.5
timeout_s = {timeout_s}
priority = 1000
"""


def make_local_catalog(
    default: str, demo_url: str, environment: Mapping[str, str], *, patience_s: float = 10.0
) -> str:
    """Return the merged catalog as TOML.

    `default`: the packaged catalog's text; `demo_url`: ends in `/v1`; `patience_s`: how long the
    demo's hanging models, and its search, are waited for; twice as long for a whole answer whose
    caller is kept alive.
    """
    text = default
    for channel in parse_catalog(default).channels.values():
        if channel.key_name is None or not environment.get(channel.key_name):
            text = _redirect(text, channel.name)
    text += _DEMO_CHANNEL.format(url=demo_url, first_byte_s=patience_s, total_s=2 * patience_s)
    text += _DEMO_SEARCH.format(url=demo_url, timeout_s=min(patience_s, TIMEOUT_S_MAX))
    text += "".join(
        _DEMO_MODEL.format(name=name, channel="demo-bounded" if name in _BOUNDED else "demo")
        for name in DEMO_MODELS
    )
    text += "".join(_DEMO_IMAGE_MODEL.format(name=name) for name in DEMO_IMAGE_MODELS)
    text += _DEMO_FLAT_MODEL
    parse_catalog(text)
    return text


def _redirect(text: str, channel: str) -> str:
    """Let the models of one channel be answered by the demo."""
    return re.sub(
        rf'^channels = \["{re.escape(channel)}"\]$', 'channels = ["demo"]', text, flags=re.MULTILINE
    )


def write_local_catalog(file: Path, text: str) -> None:
    """Write the catalog where the functions read it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
