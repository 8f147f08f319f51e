"""What awslambdaric imports as the handler; importing it imports the function's own.

So the function's init errors are found, reported and logged where awslambdaric does it.

What a module leaves lives as long as the process, so the collector is off meanwhile: looking for
garbage among it takes a tenth of the start. Then all of it is put aside, so that no later
collection, in the middle of a stream, looks at it either. Source: gc.freeze's documentation.
"""

import gc
import os

from tollgate.runtime.handler import load_handler

gc.disable()
try:
    handler = load_handler(os.environ["_HANDLER"])
    gc.freeze()
finally:
    gc.enable()
