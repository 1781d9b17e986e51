"""Who reads the figures of their own pages: `tripstream site owner …`. In: arguments. Out: lines and tables.

A user is the `sub` of their verified tokens. It holds from the next request on.
"""

from __future__ import annotations

from typing import Annotated

import typer

from tripstream.figure_commands import _print, console
from tripstream.site_commands import Site, _postgres

owner = typer.Typer(help="Who reads the figures of which pages, signed in with a token.", no_args_is_help=True)

Code = Annotated[str, typer.Argument(help="The owner code of their pages.")]
User = Annotated[str, typer.Argument(help="The sub of their tokens.")]


@owner.command("add")
def add(site_id: Site, owner_code: Code, user: User) -> None:
    """Let a signed-in user read the figures of an owner code's pages."""
    from schema import owners

    with _postgres(role="owner") as (connection, _):
        is_new = owners.add(connection, site_id, owner_code, user)
    told = "owns" if is_new else "owned already"
    console.print(f"{user} {told} the pages of {owner_code} in {site_id}", highlight=False, markup=False)


@owner.command("remove")
def remove(
    site_id: Site, user: User, code: Annotated[str | None, typer.Option(help="Only this code; default: all.")] = None
) -> None:
    """Let a user no longer read them."""
    from schema import owners

    with _postgres(role="owner") as (connection, _):
        taken = owners.remove(connection, site_id, user, code)
    console.print(f"{user} no longer owns {', '.join(taken)} in {site_id}", highlight=False, markup=False)


@owner.command("list")
def list_(site_id: Site) -> None:
    """List who owns which pages."""
    from schema import owners, sites

    with _postgres(role="owner") as (connection, _):
        sites.shown(connection, site_id)  # which says where there is no such site
        _print("owners", owners.listed(connection, site_id))
