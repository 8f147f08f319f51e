"""Random schedules of faults against the ledger: `make torture`, and a few in `make test`."""
