"""Run every benchmark: `make bench`; with the peers and into the documents: `make bench-peers`."""

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

from bench import (
    billing,
    cold_start,
    costs,
    count_tokens,
    dynamodb_client,
    ledger_scale,
    relay,
)
from bench.collect import measure_gateways
from bench.documents import write_documents
from bench.goals import OURS
from bench.machine import describe
from bench.report import print_all
from local.dynamodb import MissingToolError


def main() -> None:
    """Measure, print, and keep the results if that is asked for."""
    parser = argparse.ArgumentParser(prog="bench", description="Figures of Tollgate, as ratios")
    parser.add_argument("--peers", action="store_true", help="with the peers under .peers/")
    parser.add_argument("--json", type=Path, help="a file for the results")
    parser.add_argument("--write", action="store_true", help="write README and docs/performance.*")
    parser.add_argument("--gateways-only", action="store_true", help="skip what takes no gateway")
    options = parser.parse_args()
    print(json.dumps(describe()), flush=True)
    results: dict[str, Any] = {
        "counting": {OURS: count_tokens.main()},
        "imports": cold_start.main(),
    }
    results |= asyncio.run(measure_gateways(with_peers=options.peers))
    if not options.gateways_only:
        _print_the_others()
    print_all(results)
    _keep(results, options.json, is_written=options.write)


def _print_the_others() -> None:
    relay.main()
    dynamodb_client.main()
    try:
        billing.main()
    except MissingToolError as error:
        print(f"\nThe longest usage answer is left out: {error}")
    ledger_scale.main()
    costs.main()


def _keep(results: dict[str, Any], file: Path | None, *, is_written: bool) -> None:
    if file is not None:
        file.write_text(json.dumps(results, indent=1) + "\n")
    if is_written:
        write_documents(results)


if __name__ == "__main__":
    main()
