"""
Callers that Kubernetes knows: the API server says whose a token is, and what its bearer may do.

TokenReview with our audience, so that a token made for another service is worth nothing here; SubjectAccessReview for
each right in each namespace, so that RBAC alone decides.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from ordinaut.access import review
from ordinaut.access.caller import Caller
from ordinaut.access.rights import Right
from ordinaut.probes import Readiness
from ordinaut_api.identity.authority import AuthorityAway
from ordinaut_api.identity.bearer import unverified_claims
from ordinaut_api.identity.cluster import Cluster
from ordinaut_api.identity.remembered import Answer, Remembered

GOOD_TOKEN_SECONDS: Final = 60.0
"""How long a token is taken for good, at most: so long an account that was deleted is still let in."""

BAD_TOKEN_SECONDS: Final = 5.0
RIGHT_SECONDS: Final = 10.0
"""How long a right that was given or taken away is not noticed, at most."""

NEED: Final = "kubernetes"
_PROBE_SECONDS: Final = 1.0

_Question = tuple[Caller, Right, str]


class TokenReviews:
    """Vouches for the bearers of tokens that no other authority claims."""

    at_hand = False

    def __init__(self, cluster: Cluster, *, audience: str, clock: Callable[[], float] = time.time) -> None:
        self._cluster = cluster
        self._audience = audience
        self._clock = clock

    def claims(self, token: str) -> bool:  # noqa: ARG002 - part of the protocol
        """Claim every token: the API server may know more kinds than we do."""
        return True

    async def ask(self, token: str) -> Answer[Caller | None]:
        """Ask the API server."""
        question = review.token_review(token, audience=self._audience)
        answer = await self._cluster.review(review.TOKEN_REVIEWS, question)
        caller = review.reviewed(answer, audience=self._audience)
        if caller is None:
            return Answer(None, BAD_TOKEN_SECONDS)
        return Answer(caller, min(GOOD_TOKEN_SECONDS, self._left(token)))

    def _left(self, token: str) -> float:
        """Return the seconds until a good token ends by its own word."""
        end = unverified_claims(token).get("exp")
        return end - self._clock() if isinstance(end, int | float) else GOOD_TOKEN_SECONDS


class AccessReviews:
    """Knows the rights of callers by SubjectAccessReview; answers hold for some seconds."""

    def __init__(self, cluster: Cluster, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._remembered: Remembered[_Question, bool] = Remembered(clock=clock)

    async def allows(self, caller: Caller, right: Right, *, namespace: str) -> bool:
        """Tell whether a caller holds a right in a namespace."""

        async def ask() -> Answer[bool]:
            question = review.subject_access_review(caller, right, namespace=namespace)
            answer = await self._cluster.review(review.SUBJECT_ACCESS_REVIEWS, question)
            return Answer(review.is_allowed(answer), RIGHT_SECONDS)

        return await self._remembered.get((caller, right, namespace), ask)

    async def close(self) -> None:
        """End what is being asked."""
        await self._remembered.close()


async def wait_for_reviews(reviews: TokenReviews, *, readiness: Readiness) -> None:
    """
    Return once the API server has answered a review; until then ``readiness`` says why not.

    So a rollout with wrong credentials comes to nothing. Once there, an API server that is away takes no replica out of
    service: what it has said is remembered, and the others would know no more.
    """
    while True:
        try:
            await reviews.ask("ordinaut-probe")
        except AuthorityAway as away:
            readiness.missing(NEED, why=str(away))
        else:
            readiness.met(NEED)
            return
        await asyncio.sleep(_PROBE_SECONDS)
