"""The demo account and its key in the embedded database; made once, kept over restarts."""

import os
import secrets
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from tollgate.core.keys import is_well_formed, key_sha256, make_key
from tollgate.core.units import Micropoints
from tollgate.errors import LedgerConflictError
from tollgate.ledger.accounts import DynamoAccounts
from tollgate.ledger.connection import connect
from tollgate.ledger.model import Account, Key
from tollgate.ledger.table import create_table

FIRST_GRANT = Micropoints(1_000_000_000)  # 1000 points


def prepare_account(
    dynamodb_url: str, table: str, key_file: Path, *, account_id: str, region: str
) -> tuple[str, Account]:
    """Return the demo key and its account, made at first; a restart tops nothing up."""
    client = connect(region=region, endpoint_url=dynamodb_url, read_timeout_s=10.0)
    create_table(client, table)
    accounts = DynamoAccounts(client, table)
    now = datetime.now(UTC)
    with suppress(LedgerConflictError):  # kept from an earlier run
        accounts.create_account(account_id, now)
    accounts.grant(account_id, "first", FIRST_GRANT, at=now, note="make run")
    key = _read_key(key_file) or _create_key(accounts, account_id, key_file, now)
    return key, accounts.find_account(account_id)


def _read_key(file: Path) -> str | None:
    key = file.read_text().strip() if file.is_file() else ""
    return key if is_well_formed(key) else None


def _create_key(accounts: DynamoAccounts, account_id: str, file: Path, now: datetime) -> str:
    key = make_key(secrets.choice)
    record = Key(
        account_id=account_id,
        key_id=f"key_{secrets.token_hex(6)}",
        label="make run",
        status="active",
        created_at=now,
    )
    accounts.create_key(record, key_sha256(key))
    write_private(file, key)
    return key


def write_private(file: Path, text: str) -> None:
    """Write a file whole or not at all, readable by its owner only."""
    temporary = file.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
    temporary.replace(file)
