"""`tollgate adopt`: the books of an earlier deployment's table into this one's."""

from typing import Annotated

import typer

from admin.session import Session


def adopt_table(
    context: typer.Context,
    source: Annotated[str, typer.Argument(help="The table that an earlier stack left.")],
) -> None:
    """Copy the accounts, keys, records and catalog of another table into this one.

    For a deployment that follows a deleted one, before it serves anybody. Nothing is overwritten,
    the other table stays as it is, and the command may be run again if it broke off.
    """
    session: Session = context.obj
    adopted = session.adopt(source)
    session.say(
        f"{adopted.copied} items copied from {source}, {adopted.present} were there already.",
        {"copied": adopted.copied, "present": adopted.present},
    )
