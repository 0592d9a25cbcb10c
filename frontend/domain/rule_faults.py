"""What a repository's own rules refuse: faults as those of `frontend.domain.faults`."""

from dataclasses import dataclass

from frontend.domain.faults import FrontendFault
from index.changes import ImageName


@dataclass(eq=False)
class TagImmutable(FrontendFault):
    """A rule of the repository keeps the tag as it is; nothing was changed."""

    image: ImageName
    tag: str
    pattern: str

    def __str__(self) -> str:
        return (
            f"tag {self.tag} of {self.image} is immutable, by rule {self.pattern} of repository "
            f"{self.image.repository}: use another tag, or ask an administrator of the repository "
            "to change the rule"
        )

    def entries(self) -> tuple[tuple[str, object], ...]:
        """With the tag and the rule for programs."""
        return ((str(self), {"tag": self.tag, "rule": self.pattern}),)


@dataclass(eq=False)
class QuotaExceeded(FrontendFault):
    """`needed` bytes more do not fit the repository; nothing was changed."""

    repository: str
    quota: int
    used: int
    needed: int

    def __str__(self) -> str:
        return (
            f"{size_text(self.needed)} more do not fit: repository {self.repository} holds "
            f"{size_text(self.used)}, and its quota is {size_text(self.quota)}. Delete packages "
            "(what they held counts until it is collected), or ask an administrator for more"
        )

    def entries(self) -> tuple[tuple[str, object], ...]:
        """With the exact figures for programs."""
        detail = {"quota": self.quota, "used": self.used, "needed": self.needed}
        return ((str(self), detail),)


@dataclass(eq=False)
class PatternsInvalid(FrontendFault):
    """What was to be a repository's tag rules are none; `what` says why."""

    what: str

    def __str__(self) -> str:
        return self.what


def size_text(size: int) -> str:
    """A size for people, in binary units, never rounded to nothing: `9.5 MiB`, `17 bytes`."""
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if size >= 1 << power:
            return f"{size / (1 << power):.1f} {unit}"
    return f"{size} bytes"
