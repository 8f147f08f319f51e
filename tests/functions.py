"""The functions' modules for tests in this process."""

import asyncio
import importlib
from types import ModuleType


def load_function(name: str) -> ModuleType:
    """Import `functions.<name>.app`: Mangum asks for an event loop, and tests leave none behind."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        return importlib.import_module(f"functions.{name}.app")
    finally:
        asyncio.set_event_loop(None)
        loop.close()
