"""The `tollgate` command: what an operator does with accounts, keys, grants, usage and catalog."""
