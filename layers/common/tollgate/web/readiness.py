"""What a function makes before its first event, since Lambda gives a start more of a processor.

A start has a whole processor whatever the function's memory; an event of a function of 256 MB has a
seventh of one. So clients are made, and what they import is imported, while the module is loaded.
Nothing connects yet. Where it is not Lambda that loads the module, a test for instance, parts are
made when they are first asked for; with SnapStart its hooks make and close them.
"""

from collections.abc import Callable, Sequence

from tollgate.settings import Settings
from tollgate.web.snapshot import CachedPart, survive_snapshots

_MAKING = ("on-demand", "provisioned-concurrency")


def make_ready(
    settings: Settings, *parts: CachedPart, preparations: Sequence[Callable[[], object]] = ()
) -> None:
    """Make `parts` if this process will soon be asked, and register SnapStart's hooks for them.

    `preparations`: what else the first request of a snapshot's copy would wait for.
    """
    survive_snapshots(*parts, preparations=preparations)
    if settings.initialization in _MAKING:
        for part in parts:
            part()
