"""Start the runtime: `python -m tollgate.runtime`, in place of the managed runtime's bootstrap."""

import sys

from awslambdaric import bootstrap
from awslambdaric.lambda_config import LambdaConfigProvider

from tollgate.runtime.client import StreamingClient


def main() -> None:
    """Serve invocations until the process is ended."""
    config = LambdaConfigProvider([*sys.argv[:1], "tollgate.runtime.entry.handler"])
    client = StreamingClient(config.api_address)
    bootstrap.run("tollgate.runtime.entry.handler", client)


if __name__ == "__main__":
    main()
