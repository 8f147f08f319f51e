"""One image request as a call: JSON with the channel's model, or the caller's form passed through.

A form goes upstream with its own boundary, headers and file names; its files are views of the one
body that came in. Only the parts `model` and `official` are ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tollgate.core.catalog import Channel, Model, Route
from tollgate.core.json_text import dump
from tollgate.core.metrics import RequestMetrics
from tollgate.core.multipart import Form
from tollgate.core.openings import opens_images
from tollgate.upstream.pieces import Pieces
from tollgate.upstream.vendor_requests import AnswerShape, Content

type ImageTask = Literal["generations", "edits", "variations"]

# Ten images of 8 megapixels as PNG in base64 come to about 100 MB; one of them to 30.
_SHAPE = AnswerShape(
    list_field="data",
    opens=opens_images,
    whole_bytes_max=128 * 1024 * 1024,
    event_bytes_max=64 * 1024 * 1024,
    has_long_gaps=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageCall:
    """One image request, a `Call`. `body`: JSON fields without affixes, or the form."""

    model: Model
    task: ImageTask
    body: Mapping[str, object] | Form
    is_stream: bool
    is_padded: bool = False
    budget_s: Callable[[], float]
    later_models: int = 0
    metrics: RequestMetrics = field(default_factory=RequestMetrics)

    @property
    def path(self) -> str:
        """OpenAI's path of this task."""
        return f"images/{self.task}"

    @property
    def shape(self) -> AnswerShape:
        """A whole answer has `data`, and may be large."""
        return _SHAPE

    def encode(self, channel: Channel, route: Route) -> Content:  # noqa: ARG002 - alike for all
        """Return the caller's body with the route's model."""
        if isinstance(self.body, Form):
            pieces = self.body.build({"model": route.upstream_model}, dropped=("official",))
            return Content(content_type=self.body.content_type, body=Pieces(pieces))
        body = dump(dict(self.body) | {"model": route.upstream_model})
        return Content(content_type="application/json", body=body)
