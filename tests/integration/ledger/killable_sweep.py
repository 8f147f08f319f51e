"""The sweep function, that kills itself at the moment named by TEST_KILL_AT. No test in here."""

from functions.billing.sweep import get_ledger, handler
from tests.integration.ledger.killable import break_wire

__all__ = ["handler"]

break_wire(get_ledger()._client)
