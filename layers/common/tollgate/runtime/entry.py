"""What awslambdaric imports as the handler; importing it imports the function's own.

So the function's init errors are found, reported and logged where awslambdaric does it.
"""

import os

from tollgate.runtime.handler import load_handler

handler = load_handler(os.environ["_HANDLER"])
