"""
Puts the gatekeeper together that the settings name.

``app`` opens it for the life of the process. A broken access file or a kubeconfig that can't be used ends the process
here, with what to mend.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from ordinaut import process
from ordinaut.access.accessfile import AccessFile
from ordinaut.access.caller import Authority
from ordinaut.probes import Readiness
from ordinaut_api.identity.authority import Authenticator, Authorizer
from ordinaut_api.identity.cluster import Cluster, Credentials, credentials
from ordinaut_api.identity.gatekeeper import Gatekeeper, Identities, Open
from ordinaut_api.identity.issuerkeys import IssuerKeys
from ordinaut_api.identity.kubernetes import NEED, AccessReviews, TokenReviews, wait_for_reviews
from ordinaut_api.identity.oidc import OidcTokens
from ordinaut_api.identity.statictokens import FileRights, StaticTokens
from ordinaut_api.identity.windows import Windows
from ordinaut_api.settings import ApiSettings


class Sources:
    """What is read at the start, so that a mistake in it ends the process: the access file, our own credentials."""

    def __init__(self, settings: ApiSettings) -> None:
        named = set(settings.authentication)
        needs_file = {Authority.TOKENS, Authority.OIDC} & named
        self.file = AccessFile.open(settings.access_file) if settings.access_file and needs_file else None
        self.credentials: Credentials | None = credentials() if Authority.KUBERNETES in named else None


@asynccontextmanager
async def gatekeeper(settings: ApiSettings, sources: Sources, *, readiness: Readiness) -> AsyncIterator[Gatekeeper]:
    """Open what the settings name, as long as the context lasts."""
    if Authority.LOCAL in settings.authentication:
        yield Open()
        return
    async with AsyncExitStack() as stack:
        authenticators: list[Authenticator] = []
        authorizers: dict[Authority, Authorizer] = {}
        if sources.file is not None:
            stack.push_async_callback(process.stop, asyncio.create_task(sources.file.follow()))
        if Authority.TOKENS in settings.authentication and sources.file is not None:
            authenticators.append(StaticTokens(sources.file))
            authorizers[Authority.TOKENS] = FileRights(sources.file)
        if Authority.OIDC in settings.authentication and sources.file is not None:
            authenticators.append(await stack.enter_async_context(_oidc(settings)))
            authorizers[Authority.OIDC] = FileRights(sources.file)
        if sources.credentials is not None:
            cluster = await stack.enter_async_context(Cluster(sources.credentials))
            tokens, rights = TokenReviews(cluster, audience=settings.kubernetes_audience), AccessReviews(cluster)
            stack.push_async_callback(rights.close)
            readiness.missing(NEED, why="not asked yet")
            waiting = asyncio.create_task(wait_for_reviews(tokens, readiness=readiness))
            stack.push_async_callback(process.stop, waiting)
            authenticators.append(tokens)  # last: it claims whatever the others do not
            authorizers[Authority.KUBERNETES] = rights
        opened = Identities(
            authenticators=authenticators,
            authorizers=authorizers,
            failures=Windows(settings.rate_limit_failures),
        )
        stack.push_async_callback(opened.close)
        yield opened


@asynccontextmanager
async def _oidc(settings: ApiSettings) -> AsyncIterator[OidcTokens]:
    assert settings.oidc_issuer and settings.oidc_audience  # noqa: S101, PT018 - the settings see to it
    async with IssuerKeys(settings.oidc_issuer) as keys:
        yield OidcTokens(
            keys,
            issuer=settings.oidc_issuer,
            audience=settings.oidc_audience,
            username_claim=settings.oidc_username_claim,
            groups_claim=settings.oidc_groups_claim,
        )
