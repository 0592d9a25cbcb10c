"""Which fault a status is: the reverse of `frontend.errors`, for what others answer."""

import time
from typing import Final

from frontend.domain.fields import parse_retry_after
from frontend.domain.upstream import Kind
from frontend.upstream.errors import (
    BlobMissing,
    ManifestMissing,
    NameMissing,
    UpstreamFault,
    UpstreamLimited,
    UpstreamMissing,
    UpstreamUnavailable,
)
from frontend.upstream.transport import Reply

AGENT: Final = "orlop"  # the User-Agent, and the client_id of tokens

_MISSING: Final[dict[Kind, type[UpstreamMissing]]] = {
    "manifests": ManifestMissing,
    "blobs": BlobMissing,
    "tags": NameMissing,
    "referrers": NameMissing,
}
# 400: a name that it does not allow. 405, 501: an endpoint that it does not have.
_ABSENT: Final = (400, 404, 405, 410, 501)


def fault_of(reply: Reply, upstream: str, why: str) -> UpstreamFault | None:
    """What 429 and 5xx mean, from whichever endpoint; None for all other statuses."""
    wish = parse_retry_after(reply.fields.get("retry-after"), time.time())
    if reply.status == 429:
        return UpstreamLimited(upstream, why, wish)
    if reply.status in (408, 425) or 500 <= reply.status < 600:
        return UpstreamUnavailable(upstream, why, wish)
    return None


def absence_of(reply: Reply, upstream: str, kind: Kind, why: str) -> UpstreamMissing | None:
    """What it means that there is no such thing; None if it is not that."""
    return _MISSING[kind](upstream, why) if reply.status in _ABSENT else None
