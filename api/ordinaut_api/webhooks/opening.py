"""
Opens the doors of the hooks, with the source of keys that the settings name.

``app`` does so for the life of the process. The folder counts more than the API server, which is asked only where it
vouches for callers too: elsewhere the process has no credentials for it.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from ordinaut.access.caller import Authority
from ordinaut_api.identity.cluster import Cluster, Credentials
from ordinaut_api.settings import ApiSettings
from ordinaut_api.webhooks.doors import Doors
from ordinaut_api.webhooks.secrets import ClusterSecrets, Folder, Nowhere, Secrets, Source


@asynccontextmanager
async def doors(settings: ApiSettings, credentials: Credentials | None) -> AsyncIterator[Doors]:
    """Open them as long as the context lasts."""
    async with AsyncExitStack() as stack:
        source: Source = Nowhere()
        if settings.secrets_dir is not None:
            source = Folder(settings.secrets_dir)
        elif credentials is not None:
            # Of its own, so that whoever delivers to hooks keeps no review waiting.
            source = ClusterSecrets(await stack.enter_async_context(Cluster(credentials)))
        local = Authority.LOCAL in settings.authentication
        opened = Doors(Secrets(source), limit=0 if local else settings.rate_limit)
        stack.push_async_callback(opened.close)
        yield opened
