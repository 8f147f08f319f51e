"""`tollgate catalog …`: change prices and channels without a deployment."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from tollgate.core.catalog import Catalog
from tollgate.core.catalog_toml import parse_catalog

from admin.session import Session

catalog_app = typer.Typer(help="Check, push and show the catalog.", no_args_is_help=True)


@catalog_app.command("check")
def check_catalog(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="FILE")],
) -> None:
    """Check a catalog file; what is wrong is named by its key."""
    session: Session = context.obj
    catalog = parse_catalog(file.read_text())
    session.say(f"{file} is good: {_summarise(catalog)}.", _facts(catalog))


@catalog_app.command("push")
def push_catalog(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, metavar="FILE")],
) -> None:
    """Put a catalog in force; running functions take it within a minute."""
    session: Session = context.obj
    text = file.read_text()
    catalog = parse_catalog(text)
    session.accounts().push_catalog(text, catalog.version, datetime.now(UTC))
    session.say(f"Pushed {file}: {_summarise(catalog)}.", _facts(catalog))


@catalog_app.command("show")
def show_catalog(context: typer.Context) -> None:
    """Print the pushed catalog, as it was written."""
    session: Session = context.obj
    text = session.ledger().load_catalog(None)
    if text is None:
        session.say("No catalog was pushed: the packaged one is in force.", {"version": None})
        return
    facts = {**_facts(parse_catalog(text)), "text": text}
    session.say(text.rstrip(), facts)


def _summarise(catalog: Catalog) -> str:
    unpriced = sum(model.price is None for model in catalog.models.values())
    without = f", {unpriced} without a price" if unpriced else ""
    search = ", ".join(provider.name for provider in catalog.search) or "nobody"
    return (
        f"{len(catalog.models)} models{without}, web search by {search}, version {catalog.version}"
    )


def _facts(catalog: Catalog) -> dict[str, object]:
    return {
        "version": catalog.version,
        "models": sorted(catalog.models),
        "channels": sorted(catalog.channels),
        "search": [provider.name for provider in catalog.search],
    }
