"""Lines that fetch an image or an artifact, to be copied. Pure.

What a name is made of has the grammar of names, tags and digests: nothing in it means anything to
a shell.
"""

from dataclasses import dataclass
from typing import Final

from frontend.domain.artifacts import is_of_type

_RUNNABLE: Final = ("image", "index")


@dataclass(frozen=True, slots=True)
class Pullable:
    """What is to be fetched, and from where."""

    host: str
    is_tls: bool
    name: str  # storage/repository/path
    tag: str | None
    digest: str
    media_type: str = ""
    artifact_type: str = ""

    @property
    def reference(self) -> str:
        """As one names it: by its tag when it was found by one."""
        return self.pinned if self.tag is None else f"{self.host}/{self.name}:{self.tag}"

    @property
    def pinned(self) -> str:
        """By its digest: what never changes."""
        return f"{self.host}/{self.name}@{self.digest}"

    def is_a(self, kind: str) -> bool:
        """Whether it is one of `frontend.domain.artifacts`."""
        return is_of_type(kind, self.media_type, self.artifact_type, self.tag or "")

    def lines(self) -> list[tuple[str, str]]:
        """(client, line) of each client that it is for; the usual one first."""
        plain = "" if self.is_tls else " --plain-http"
        references = [("reference", self.reference), ("pinned", self.pinned)]
        references.append(("digest", self.digest))
        if self.is_a("chart"):
            version = f" --version {self.tag}" if self.tag else f"@{self.digest}"
            chart = f"helm pull oci://{self.host}/{self.name}{version}{plain}"
            return [("helm", chart), ("oras", f"oras pull {self.reference}{plain}"), *references]
        if not any(map(self.is_a, _RUNNABLE)):
            return [("oras", f"oras pull {self.reference}{plain}"), *references]
        unverified = "" if self.is_tls else " --tls-verify=false"
        return [
            ("docker", f"docker pull {self.reference}"),
            ("podman", f"podman pull{unverified} {self.reference}"),
            ("ctr", f"ctr images pull{plain} {self.reference}"),
            *references,
        ]
