"""The use case: reserve, call, relay, settle or release. Only here do ledger and upstream meet."""
