"""What can go wrong with another registry; whoever pulls is told so without its address.

UpstreamFault
├── UpstreamMissing       ManifestMissing, BlobMissing, NameMissing: it has no such thing
├── UpstreamDenied        it does not show that to us
├── UpstreamUnauthorized  the configured credentials are wrong
├── UpstreamLimited       it wants to be asked later (429)
├── UpstreamUnavailable   no connection, no answer in time, or 5xx; UpstreamResting: not asked
├── UpstreamBroken        an answer that cannot be one; UpstreamChanged: not what was begun
└── UpstreamRefused       AddressRefused, RedirectRefused, RealmRefused: where it leads we do not go

`str()` is for whoever pulls, `told` for administrators and the log. Neither has a secret in it.
"""

from dataclasses import dataclass

from frontend.domain.faults import FrontendFault


@dataclass(eq=False)
class UpstreamFault(FrontendFault):
    """Any of them; `upstream` is the configured origin, `why` may name other hosts."""

    upstream: str
    why: str = ""

    def __str__(self) -> str:
        return "the upstream registry cannot be used"

    @property
    def told(self) -> str:
        """With the address and the reason."""
        return f"{self.upstream}: {self.why or self}"


class UpstreamMissing(UpstreamFault):
    """It has no such thing."""

    def __str__(self) -> str:
        return "the upstream registry has no such image"


class ManifestMissing(UpstreamMissing):
    """No such tag or manifest."""

    def __str__(self) -> str:
        return "the upstream registry has no such tag or manifest"


class BlobMissing(UpstreamMissing):
    """No such blob in that image."""

    def __str__(self) -> str:
        return "the upstream registry has no such blob in this image"


class NameMissing(UpstreamMissing):
    """No such image; or it cannot list what was asked."""


class UpstreamDenied(UpstreamFault):
    """403, or 401 although all was said that could be: many say so of what is not there."""

    def __str__(self) -> str:
        return "the upstream registry has no such image, or does not show it to this registry"


class UpstreamUnauthorized(UpstreamFault):
    """The configured credentials are not accepted: nobody who pulls can help it."""

    def __str__(self) -> str:
        return "the upstream registry does not accept the credentials that are configured here"


@dataclass(eq=False)
class UpstreamLimited(UpstreamFault):
    """429: nothing is asked for `retry_after` seconds."""

    retry_after: float | None = None

    def __str__(self) -> str:
        return "the upstream registry limits how often it may be asked: try again later"


@dataclass(eq=False)
class UpstreamUnavailable(UpstreamFault):
    """It cannot be reached, is silent for too long, or says that it cannot (5xx)."""

    retry_after: float | None = None

    def __str__(self) -> str:
        return "the upstream registry does not answer: try again later"


class UpstreamResting(UpstreamUnavailable):
    """It failed before, and was not asked this time."""


class UpstreamBroken(UpstreamFault):
    """Truncated, longer or shorter than it said, or no HTTP: none of it can be used."""

    def __str__(self) -> str:
        return "the upstream registry's answer cannot be used"


class UpstreamChanged(UpstreamBroken):
    """Where a transfer was to go on there is something else now."""


class UpstreamRefused(UpstreamFault):
    """It leads to where this registry does not go."""

    def __str__(self) -> str:
        return "the upstream registry leads to an address that is not allowed here"


class AddressRefused(UpstreamRefused):
    """A host with an address that must not be dialled."""


class RedirectRefused(UpstreamRefused):
    """Too many redirects, one out of TLS, or one to no proper URL."""


class RealmRefused(UpstreamRefused):
    """A token endpoint on a host that must not see the credentials."""
