"""The images that have come of an answer, and what they come to so far."""

from tollgate.core.image_form import ImageForm
from tollgate.core.image_quotes import ImageQuote, Looks
from tollgate.core.image_usage import add_usages, read_image_usage
from tollgate.core.prices import Usage
from tollgate.core.units import Micropoints


class ImageTally:
    """Takes a whole answer, or a stream's completed events one by one."""

    def __init__(self, quote: ImageQuote) -> None:
        """`quote`: the order's figures, for images that come without usage."""
        self._quote = quote
        self._reported: Usage | None = None
        self.made: list[Looks] = []

    @property
    def is_complete(self) -> bool:
        """Whether as many images have come as were ordered."""
        return len(self.made) >= self._quote.count

    @property
    def usage(self) -> Usage:
        """What the upstream has reported, summed up; else what the images come to."""
        return self._reported or self._quote.reckon(self.made)

    @property
    def is_shown(self) -> bool:
        """Whether the usage has tokens to show: an answer sold by the image may have none."""
        return self.usage.completion > 0

    @property
    def cost(self) -> Micropoints:
        """What the images cost so far."""
        return self._quote.cost(self.usage, self.made)

    def add(self, form: ImageForm) -> Usage | None:
        """Count the images of an answer or event; return what the upstream reports for it."""
        self.made += form.made
        usage = read_image_usage(form.raw_usage, images=len(form.made))
        if usage is not None:
            self._reported = add_usages(self._reported, usage) if self._reported else usage
        return usage
