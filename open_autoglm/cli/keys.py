"""Commands about the API keys that a server lets in: ``key new``, ``key list`` and ``key revoke``.

It knows what they take; it knows nothing of how a key is recognised.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from .arguments import HELP, AsJson, Verbose, named_path
from .streams import print_json, say, showable

DAY = 86_400
group = typer.Typer(
    help="Make and revoke the API keys of a server.\n\n\b\nExample:\n  autoglm key new --name ci",
    context_settings=HELP,
)
KeyFile = Annotated[Path, typer.Option("--file", metavar="FILE", parser=named_path, help="The file of hashed keys.")]
FILE = Path("keys.jsonl")


@group.command()
def new(
    name: Annotated[str, typer.Option(help="What the key is called in logs, and to revoke it.")],
    tenant: Annotated[
        str, typer.Option(help="Whose indexes and caches it reaches; an index given to 'serve' is that of 'default'.")
    ] = "default",
    scopes: Annotated[str, typer.Option(help="What it may do, with commas between; '*' is all that users do.")] = "*",
    days: Annotated[float | None, typer.Option(help="How long it works; without it, until it is revoked.")] = None,
    file: KeyFile = FILE,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Make a key: it is printed once, and its hash is added to the file.

    \b
    Examples:
      autoglm key new --name ci --scopes search,embed
      autoglm key new --name visitor --tenant shop --scopes search --days 7 --file keys.jsonl
    """
    from ..serving.access.keys import new_key
    from ..serving.access.scopes import unknown_scopes

    if days is not None and not 0 < days < 36_500:
        raise typer.BadParameter("give a number of days above 0", param_hint="'--days'")
    listed = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    made, secret = new_key(file, name, tenant, listed, None if days is None else time.time() + days * DAY)
    for scope in unknown_scopes(listed):
        say(f"The shipped policy knows no scope {showable(scope)!r}: only one of your own can allow it anything.")
    if as_json:
        print_json({"key": secret, "id": made.id, "name": name, "tenant": tenant, "scopes": made.scopes})
        return
    typer.echo(secret)
    say(f"Keep it now, it is stored nowhere: {file} has its hash alone. It is good until: {made.until}.")


@group.command("list")
def show(file: KeyFile = FILE, as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Show the keys of a file, a line each: id, name, tenant, scopes, and until when they are good.

    \b
    Example:
      autoglm key list --file keys.jsonl
    """
    from ..serving.access.keys import readable_keys

    keys, damaged = readable_keys(file)
    for sentence in damaged:
        say(f"{sentence} No key of it works.")
    if as_json:
        parts = ("id", "name", "tenant", "scopes", "expires")
        print_json([{part: getattr(key, part) for part in parts} for key in keys])
        return
    for key in keys:
        typer.echo(showable("  ".join((key.id, key.name, key.tenant, ",".join(key.scopes), key.until))))


@group.command()
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name or id of the key.")],
    file: KeyFile = FILE,
    verbose: Verbose = False,
) -> None:
    """Take a key out of the file; servers that read it stop letting it in within a second.

    \b
    Example:
      autoglm key revoke ci --file keys.jsonl
    """
    from ..serving.access.keys import revoke_key

    key = revoke_key(file, name)
    say(f"{key.name} ({key.id}) is revoked.")
