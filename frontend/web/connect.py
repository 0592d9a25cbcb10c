"""How clients are connected: configuration to be copied, for this server's own address."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec

from frontend.domain.names import MAX_NAME
from frontend.management.problems import NotFound
from frontend.management.repository_shapes import RepositoryListed, RepositoryPage
from frontend.management.routing import Visitor
from frontend.web import snippets
from frontend.web.page import Page, Shown, Visit
from frontend.web.snippets import NO_HUB, NOBODY, Address, Mirror, Snippet

LOOKED_AT: Final = 1000  # repositories: the first page that the API gives
CHOICES: Final = 200  # to choose from; another is typed


class Chosen(msgspec.Struct, frozen=True):
    """The repository `storage/name` that the lines to be copied are of."""

    repository: Annotated[str, msgspec.Meta(max_length=MAX_NAME)] = ""


@dataclass(frozen=True, slots=True)
class Chapter:
    """The lines for one kind of client."""

    anchor: str
    title: str
    snippets: Sequence[Snippet]
    note: str = ""


class ConnectPages:
    """The handlers."""

    def pages(self) -> tuple[Page, ...]:
        """The pages, and who may see them."""
        return (
            Page(
                method="GET",
                path="/connect",
                access=Visitor(),
                handler=self.show,
                query=Chosen,
            ),
        )

    async def show(self, visit: Visit) -> Shown:
        """Show the lines; of the repositories only what the visitor may pull.

        Raises:
            NotFound: the chosen repository is none that he may use.
        """
        chosen: str = visit.query.repository
        found: RepositoryPage = await visit.calls.get("/api/v1/repositories", per_page=LOOKED_AT)
        if chosen:
            storage, _, name = chosen.partition("/")
            if not (storage and name):
                raise NotFound(f"no repository {chosen} that you may use")
            await visit.calls.get(
                "/api/v1/repositories/<storage>/<name>", storage=storage, name=name
            )
        hosted = [_name(each) for each in found.items if each.kind == "hosted"]
        address = Address(
            host=visit.host,
            is_tls=urlsplit(visit.url).scheme == "https",
            user=visit.principal.name or NOBODY,
            repository=chosen or (hosted[0] if hosted else NO_HUB),
        )
        mirrors = _mirrors(found.items)
        return Shown(
            "connect.html",
            {
                "address": address,
                "chapters": _chapters(address, mirrors),
                "mirrors": mirrors,
                "choices": [_name(each) for each in found.items[:CHOICES]],
            },
        )


def _chapters(to: Address, mirrors: Sequence[Mirror]) -> list[Chapter]:
    private = any(not each.is_public for each in mirrors)
    log_in = "Private repositories need credentials for this host too. " if private else ""
    return [
        Chapter("docker", "Docker", snippets.docker(to)),
        Chapter(
            "mirror",
            "Docker, as a mirror of Docker Hub",
            [snippets.docker_mirror(to, mirrors)],
            "dockerd has mirrors of Docker Hub alone and sends them no credentials: the proxy "
            "repository has to be public. Merge the lines into the file that is there.",
        ),
        Chapter("podman", "podman, buildah, skopeo", snippets.podman(to, mirrors)),
        Chapter(
            "containerd",
            "containerd",
            snippets.containerd(to, mirrors),
            f"{log_in}containerd says with each request which registry it means; Orlop answers "
            "from the proxy repository with that upstream which the account may pull from.",
        ),
        Chapter("k3s", "k3s", [snippets.k3s(to, mirrors)]),
        Chapter("kubernetes", "Kubernetes", snippets.kubernetes(to)),
        Chapter(
            "front",
            "A proxy with TLS in front of Orlop",
            snippets.proxies(to),
            "For who runs this server. Set public_url, or what clients are told is the wrong name.",
        ),
    ]


def _mirrors(found: Sequence[RepositoryListed]) -> list[Mirror]:
    """One proxy repository for each registry: a public one first, as the server chooses."""
    made: dict[str, Mirror] = {}
    for each in sorted(found, key=lambda each: (each.visibility != "public", _name(each))):
        if each.upstream is None:
            continue
        is_public = each.visibility == "public"
        mirror = Mirror.of(_name(each), each.upstream.url, is_public=is_public)
        if mirror is not None:
            made.setdefault(mirror.namespace, mirror)
    return list(made.values())


def _name(each: RepositoryListed) -> str:
    return f"{each.storage}/{each.name}"
