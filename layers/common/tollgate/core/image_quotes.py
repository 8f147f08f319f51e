"""What an image request may cost before it runs, and what an answer to it comes to."""

from collections.abc import Sequence
from dataclasses import dataclass

from tollgate.core.image_rates import ImageRate
from tollgate.core.image_usage import reckon_image_usage
from tollgate.core.prices import Price, Usage, charge
from tollgate.core.units import Micropoints, Tokens
from tollgate.errors import InvalidRequestError

PARTIAL_TOKENS = 100  # OpenAI's image generation guide: each partial image costs so many more

type Looks = tuple[str | None, str | None]  # size and quality


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageQuote:
    """One request's figures. `output`: the tokens of an image; None: the price has no tokens.

    `looks`: the size and quality asked for, None where the vendor chooses. `frames`: of an
    animated image, each counts as an image. `partials`: preview images for each image. The input
    tokens are those of one image: a request for several is billed as so many of one.
    Source of the last: "OpenAI must document the input image pricing of gpt-image-2",
    community.openai.com/t/1382940.
    """

    price: Price
    output: ImageRate | None
    looks: Looks
    count: int
    frames: int
    partials: int
    text_tokens: int
    image_tokens: int

    @property
    def worst(self) -> Micropoints:
        """The most that the request can cost, by tokens or by image, whichever is dearer."""
        by_tokens = charge(self._usage(self._asked_tokens(), images=self.count), self.price)
        return max(by_tokens, self._by_image([self.looks] * self.count))

    def check(self) -> None:
        """Refuse a size or quality that no price covers.

        Raises: InvalidRequestError.
        """
        if self.output is not None:
            self.output.amount(*self.looks)
        if self.price.images is not None:
            self.price.images.amount(*self.looks)

    def reckon(self, made: Sequence[Looks], *, partials: int = 0) -> Usage:
        """Return the usage of an answer whose upstream reported no tokens.

        `made`: what the answer says of each image; where it says nothing, what was asked for. All
        count, were they more than were asked for. `partials`: the previews that came. A price by
        image needs no tokens: the images are counted, exactly.
        """
        if self.output is None or self.price.images is not None:
            return Usage(prompt=Tokens(0), completion=Tokens(0), images=len(made))
        tokens = sum(_amount(self.output, said, self.looks) * self.frames for said in made)
        return self._usage(tokens + partials * PARTIAL_TOKENS, images=len(made))

    def cost(self, usage: Usage, made: Sequence[Looks]) -> Micropoints:
        """Return what an answer costs: by the tokens that were reported, else by its images."""
        if self.price.has_tokens and usage.completion:
            return charge(usage, self.price)
        return self._by_image(made)

    def _by_image(self, made: Sequence[Looks]) -> Micropoints:
        images = self.price.images
        if images is None:
            return Micropoints(0)
        total = sum(_amount(images, said, self.looks) for said in made)
        return Micropoints(total + self.price.request)

    def _asked_tokens(self) -> int:
        if self.output is None:
            return 0
        image = self.output.amount(*self.looks) * self.frames
        return self.count * (image + self.partials * PARTIAL_TOKENS)

    def _usage(self, output_tokens: int, *, images: int) -> Usage:
        return reckon_image_usage(
            text_tokens=self.text_tokens * images,
            image_tokens=self.image_tokens * images,
            output_tokens=output_tokens,
            images=images,
        )


def _amount(rate: ImageRate, said: Looks, asked: Looks) -> int:
    """Return an image's amount by what the answer says of it; by what was asked if that is odd."""
    try:
        return rate.amount(said[0] or asked[0], said[1] or asked[1])
    except InvalidRequestError:
        return rate.amount(*asked)
