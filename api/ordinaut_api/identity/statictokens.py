"""
Static tokens, and the roles that the access file gives to them and to the groups of an issuer.

Nothing is remembered: the file is in memory, so that what is taken out of it is refused as soon as it is read again.
"""

from ordinaut.access.accessfile import AccessFile
from ordinaut.access.caller import Caller
from ordinaut.access.grants import TOKEN_PREFIX
from ordinaut.access.rights import Right
from ordinaut_api.identity.remembered import Answer


class StaticTokens:
    """Vouches for the bearers of the tokens in the access file."""

    at_hand = True

    def __init__(self, file: AccessFile) -> None:
        self._file = file

    def claims(self, token: str) -> bool:
        """Claim what looks like one of ours."""
        return token.startswith(TOKEN_PREFIX)

    async def ask(self, token: str) -> Answer[Caller | None]:
        """Look it up."""
        return Answer(self._file.grants.caller_of(token), 0)


class FileRights:
    """Knows the rights that the access file gives."""

    def __init__(self, file: AccessFile) -> None:
        self._file = file

    async def allows(self, caller: Caller, right: Right, *, namespace: str) -> bool:
        """Tell whether the file gives a caller a right in a namespace."""
        return self._file.grants.allows(caller, right, namespace=namespace)
