"""
Which API a command talks to, in which namespace, and with whose token.

What was typed counts most, then the environment, then the context, then this machine. A named ``--context`` was
typed, so the environment does not count beside it. The token of a context goes to the API of that context only: who
names another API with ``--api`` does not send it there. Where nothing is named at all, a plugin of kubectl takes the
API that is in kubectl's cluster, and kubectl's namespace.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ordinaut_cli import contexts, invocation
from ordinaut_cli.cluster import address, kubectl
from ordinaut_cli.cluster.kubectl import Access
from ordinaut_cli.contexts import CONFIG, Config, Context
from ordinaut_cli.errors import WRONG_INPUT, CommandError

DEFAULT_API: Final = "http://127.0.0.1:8080"
DEFAULT_NAMESPACE: Final = "default"

API_URL: Final = "ORDINAUT_API_URL"
NAMESPACE: Final = "ORDINAUT_NAMESPACE"
TOKEN: Final = "ORDINAUT_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_FILE: Final = "ORDINAUT_TOKEN_FILE"  # noqa: S105 - as above
VARIABLES: Final = frozenset({API_URL, NAMESPACE, TOKEN, TOKEN_FILE, CONFIG})
"""What the command line reads from the environment."""


@dataclass(frozen=True, slots=True)
class Target:
    """An API, a namespace, and where the token comes from; at most one of the three is set."""

    api: str
    namespace: str
    token: str | None = field(default=None, repr=False)
    token_file: str | None = None
    token_command: str | None = None
    kube_context: str | None = None
    """The context of kubectl, where the API is the address of a Service; None is kubectl's current one."""


NOTHING: Final = Target(DEFAULT_API, DEFAULT_NAMESPACE)
"""What counts where nothing is named."""


def choose(*, api: str | None = None, namespace: str | None = None, context: str | None = None) -> Target:
    """Return the target of a command, from its options and from what surrounds it."""
    config = contexts.load()
    named = api or context or config.current or os.environ.get(API_URL)
    otherwise = _kubectls() if invocation.is_plugin() and not named else NOTHING
    return decide(config, os.environ, api=api, namespace=namespace, context=context, otherwise=otherwise)


def _kubectls() -> Target:
    """Return the API in kubectl's cluster, and kubectl's namespace."""
    context = kubectl.current_context()
    if context is None:
        return NOTHING
    space = kubectl.current_namespace(Access(context)) or DEFAULT_NAMESPACE
    return Target(address.ANY, space, kube_context=context)


def namespace_of(namespace: str | None, *, context: str | None = None) -> str:
    """Return the namespace for a command that needs no API."""
    return choose(namespace=namespace, context=context).namespace


def decide(
    config: Config,
    environment: Mapping[str, str],
    *,
    api: str | None,
    namespace: str | None,
    context: str | None,
    otherwise: Target = NOTHING,
) -> Target:
    """Return the target; ``otherwise`` counts where nothing is named. Pure."""
    surroundings = {} if context else {name: environment[name] for name in VARIABLES if environment.get(name)}
    name = context or config.current
    known = config.chosen(name) if name else None
    url = api or surroundings.get(API_URL) or (known.api if known else otherwise.api)
    space = namespace or surroundings.get(NAMESPACE) or (known.namespace if known else otherwise.namespace)
    kube_context = known.kube_context if known and _same(url, known) else otherwise.kube_context
    token, token_file = surroundings.get(TOKEN), surroundings.get(TOKEN_FILE)
    if token and token_file:
        raise CommandError(f"{TOKEN} and {TOKEN_FILE} are both set; keep one of them", exit_code=WRONG_INPUT)
    if token or token_file or known is None or not _same(url, known):
        return Target(url, space, token, token_file, kube_context=kube_context)
    return Target(url, space, None, known.token_file, known.token_command, kube_context)


def _same(url: str, context: Context) -> bool:
    return url.rstrip("/") == context.api.rstrip("/")
