"""The images that have come of an answer, and what they come to so far."""

from dataclasses import replace

from tollgate.core.image_form import ImageForm
from tollgate.core.image_quotes import ImageQuote, Looks
from tollgate.core.image_usage import add_usages, read_image_usage
from tollgate.core.prices import Usage
from tollgate.core.units import Micropoints


class ImageTally:
    """Takes a whole answer, or a stream's images one by one. What they cost never falls."""

    def __init__(self, quote: ImageQuote) -> None:
        """`quote`: the order's figures, for images that come without usage."""
        self._quote = quote
        self._reported: Usage | None = None
        self._has_unreported = False
        self._partials = 0
        self.made: list[Looks] = []

    @property
    def is_complete(self) -> bool:
        """Whether as many images have come as were ordered."""
        return len(self.made) >= self._quote.count

    @property
    def usage(self) -> Usage:
        """What the upstream has reported, summed up; else what the images come to.

        Where it has reported only some of the images, whichever of the two is dearer.
        """
        reported = self._reported
        if reported is not None and not self._has_unreported:
            return reported
        reckoned = self._quote.reckon(self.made, partials=self._partials)
        if reported is None:
            return reckoned
        partly = replace(reported, images=len(self.made), is_exact=False)
        return max(reckoned, partly, key=lambda usage: self._quote.cost(usage, self.made))

    @property
    def is_shown(self) -> bool:
        """Whether the usage has tokens to show: an answer sold by the image may have none."""
        return self.usage.completion > 0

    @property
    def cost(self) -> Micropoints:
        """What the images cost so far."""
        return self._quote.cost(self.usage, self.made)

    def add_partial(self) -> None:
        """Count a preview; it costs where tokens are sold and the upstream reports none."""
        self._partials += 1

    def add(self, form: ImageForm) -> Usage | None:
        """Count the images of an answer or event; return what the upstream reports for it."""
        self.made += form.made
        usage = read_image_usage(form.raw_usage, images=len(form.made))
        if usage is None:
            self._has_unreported = True
        else:
            self._reported = add_usages(self._reported, usage) if self._reported else usage
        return usage
