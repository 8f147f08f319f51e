"""`tollgate`: accounts, keys, grants, usage, sweep and catalog, on the table of a deployment.

The table is `--table` or TOLLGATE_TABLE; a local one is reached by `--endpoint-url` or
TOLLGATE_DYNAMODB_URL. Exit codes: 0 done, 1 refused or unreachable, 2 the command line is wrong.
"""

import sys
from typing import Annotated

import typer
from tollgate.errors import TollgateError

from admin.accounts import account_app, grant, usage
from admin.adoption import adopt_table
from admin.catalog import catalog_app
from admin.keys import key_app
from admin.session import Session
from admin.sweep import sweep_holds

app = typer.Typer(
    name="tollgate",
    help="Accounts, keys, grants, usage and catalog of a Tollgate deployment.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(account_app, name="account")
app.add_typer(key_app, name="key")
app.add_typer(catalog_app, name="catalog")
app.command()(grant)
app.command()(usage)
app.command("sweep")(sweep_holds)
app.command("adopt")(adopt_table)


@app.callback()
def choose_table(
    context: typer.Context,
    *,
    table: Annotated[
        str, typer.Option(envvar="TOLLGATE_TABLE", help="Name of the DynamoDB table.")
    ] = "tollgate",
    endpoint_url: Annotated[
        str | None,
        typer.Option(envvar="TOLLGATE_DYNAMODB_URL", help="Another DynamoDB than AWS's."),
    ] = None,
    region: Annotated[str | None, typer.Option(envvar="AWS_REGION", help="AWS region.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Accounts, keys, grants, usage and catalog of a Tollgate deployment."""
    context.obj = Session(
        table=table, endpoint_url=endpoint_url or None, region=region, is_json=as_json
    )


def main() -> None:
    """Run the command; what the ledger refuses is one line on stderr."""
    try:
        app()
    except TollgateError as error:
        sys.exit(f"tollgate: {_explain(error)}")


def _explain(error: TollgateError) -> str:
    cause = error.__cause__
    return f"{error} ({cause})" if cause is not None else str(error)
