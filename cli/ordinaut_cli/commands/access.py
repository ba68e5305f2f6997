"""``ordinaut whoami``, ``quota`` and ``token``: who one is, how much one may have, and tokens for others."""

import sys
from typing import Annotated, Any

import typer

from ordinaut.access.rights import Role
from ordinaut_cli import asking, render, target, views
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.options import Api, InContext, Namespace, Output, OutputFormat


def whoami(api: Api = None, context: InContext = None, output: Output = OutputFormat.TABLE) -> None:
    """Tell who the API takes you for."""
    found = asking.ask(target.choose(api=api, context=context), lambda client: client.whoami())
    groups = f" ({', '.join(found['groups'])})" if found.get("groups") else ""
    render.show(found, output, as_table=render.visible(f"{found['id']}{groups}"))


def quota(
    namespace: Namespace = None, api: Api = None, context: InContext = None, output: Output = OutputFormat.TABLE
) -> None:
    """Show a namespace's limits, and what is used of them."""
    found = asking.ask(target.choose(api=api, namespace=namespace, context=context), lambda client: client.quota())
    render.show(found, output, as_table=views.quota(found))


def token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose token it is, for the audit trail.")],
    role: Annotated[Role, typer.Option(help="What its bearer may do.")] = Role.VIEWER,
    namespaces: Annotated[
        list[str] | None,
        typer.Option("--namespace", "-n", metavar="NAME", help='Where; may be given several times, "*" is everywhere.'),
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Make a static token for an api outside of Kubernetes.

    The token goes to stdout, and is shown this once only. What goes to stderr belongs into the access file of the
    api: it holds the hash of the token, not the token.
    """
    made, entry = _made(name, role, namespaces or [target.namespace_of(None)])
    if output is not OutputFormat.TABLE:
        print(render.dump({"token": made, "entry": entry}, output))
        return
    print(made)
    print("# for the access file of the api (ORDINAUT_ACCESS_FILE):", file=sys.stderr)
    print(render.dump({"tokens": [entry]}, OutputFormat.YAML), file=sys.stderr)


def _made(name: str, role: Role, namespaces: list[str]) -> tuple[str, dict[str, Any]]:
    """Return a new token and its entry; the entry is checked as the api will check it."""
    from ordinaut.access import grants  # noqa: PLC0415 - slow to load, and other commands need not wait for it
    from ordinaut.errors import Invalid  # noqa: PLC0415 - as above

    made = grants.new_token()
    entry: dict[str, Any] = {
        "name": name,
        "sha256": made.sha256,
        "bindings": [{"role": role.value, "namespaces": list(dict.fromkeys(namespaces))}],
    }
    try:
        grants.parse(render.dump({"tokens": [entry]}, OutputFormat.YAML), source="entry")
    except Invalid as invalid:
        raise CommandError(*(str(error) for error in invalid.errors), exit_code=WRONG_INPUT) from None
    return made.token, entry
