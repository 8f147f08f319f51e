"""The chat function, that kills itself at the moment named by TEST_KILL_AT. No test in here."""

from mangum import Mangum

from functions.chat.app import app, get_metering, get_services
from tests.integration.ledger.killable import break_upstream, break_wire, killable

break_wire(get_services().client)
break_upstream(get_metering().upstream)
marks = {b"data: {": "first chunk", b"data: [DONE]": "done"}
handler = Mangum(killable(app, marks), lifespan="off")
