"""The catalog in force: a file, else the one pushed into the table, else the packaged default."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tollgate.core.catalog import Catalog
from tollgate.core.catalog_toml import parse_catalog
from tollgate.errors import CatalogError, LedgerUnavailableError

_log = logging.getLogger("tollgate.catalog")
REFRESH_S = 60
PACKAGED = Path(__file__).parent.parent / "catalog.toml"


class CatalogStore(Protocol):
    """Where an operator pushes a catalog to."""

    def load_catalog(self, known_version: str | None) -> str | None:
        """Return the pushed text, or None if there is none or its version is the known one.

        Raises: LedgerUnavailableError.
        """


class LiveCatalog:
    """Answers with the catalog in force and looks for a new one once a minute."""

    def __init__(
        self,
        store: CatalogStore,
        file: Path | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`file`: used alone where given; `clock`: seconds."""
        self._store = store
        self._file = file
        self._clock = clock
        self._catalog: Catalog | None = None
        self._checked_s = 0.0

    async def current(self) -> Catalog:
        """Return the catalog in force.

        Raises: LedgerUnavailableError: the table could not be asked even once; a guess at prices
            would charge wrongly. CatalogError: the only catalog there is is malformed.
        """
        if self._catalog is None or self._is_due():
            self._catalog = await asyncio.to_thread(self._load, self._catalog)
            self._checked_s = self._clock()
        return self._catalog

    def _is_due(self) -> bool:
        return self._file is None and self._clock() - self._checked_s >= REFRESH_S

    def _load(self, known: Catalog | None) -> Catalog:
        if self._file is not None:
            return parse_catalog(self._file.read_text())
        try:
            text = self._store.load_catalog(known.version if known else None)
            if text is not None:
                return parse_catalog(text)
        except (LedgerUnavailableError, CatalogError) as error:
            if known is None:
                raise
            _log.warning("catalog not refreshed: %s", type(error).__name__)
        return known or parse_catalog(PACKAGED.read_text())
