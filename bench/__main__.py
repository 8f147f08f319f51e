"""Run every benchmark: `make bench`."""

import platform

from bench import billing, cold_start, costs, count_tokens, ledger_scale, relay

if __name__ == "__main__":
    print(f"CPython {platform.python_version()}, {platform.machine()}, {platform.system()}")
    relay.main()
    count_tokens.main()
    cold_start.main()
    billing.main()
    ledger_scale.main()
    costs.main()
