"""The page of a manifest: how it runs, what it holds, what is about it, and how to fetch it."""

from typing import Annotated, Final

import msgspec

from frontend.management.manifest_shapes import ChildShown, ManifestShown
from frontend.management.routing import OnRepository
from frontend.web.images import crumbs
from frontend.web.links import manifest_link
from frontend.web.page import Page, Shown, Visit
from frontend.web.pulling import Pullable

CALL: Final = "/api/v1/repositories/<storage>/<name>/manifest"
_USUAL: Final = "linux/amd64"  # the platform that an index opens at, if it has it


class ManifestView(msgspec.Struct, frozen=True, kw_only=True):
    """Which of an index's manifests is looked at, by its digest; empty: the usual one."""

    platform: Annotated[str, msgspec.Meta(max_length=150)] = ""


class ManifestPages:
    """The handlers."""

    def pages(self) -> tuple[Page, ...]:
        """The pages, and who may see them."""
        place = "/r/<storage>/<name>/<image:image>"
        return tuple(
            Page(
                method="GET",
                path=f"{place}{reference}",
                access=OnRepository("pull", "see"),
                handler=self.show,
                query=ManifestView,
            )
            for reference in (":<tag>", "@<digest>")
        )

    async def show(self, visit: Visit) -> Shown:
        """Show a manifest; of an index also the manifest of one platform."""
        reference = visit.place.get("tag") or visit.place["digest"]
        found = await self._ask(visit, reference)
        platforms = [each for each in found.manifests if not each.of]
        chosen = _chosen(platforms, visit.query.platform)
        inner = await self._ask(visit, chosen.digest) if chosen is not None else None
        pullable = Pullable(
            host=visit.host,
            is_tls=visit.url.startswith("https:"),
            name=f"{visit.repository}/{found.image}",
            tag=found.tag,
            digest=found.digest,
            media_type=found.media_type,
            artifact_type=found.artifact_type or "",
        )
        body = inner or found
        return Shown(
            "manifest.html",
            {
                "found": found,
                "body": body,
                "chosen": chosen,
                "platforms": platforms,
                "attested": [each for each in found.manifests if each.of],
                "largest": max((each.size for each in body.layers), default=0) or 1,
                "lines": pullable.lines(),
                "raws": [(each, _indented(each.raw)) for each in (inner, found) if each],
                "crumbs": [*crumbs(visit, found.image), (reference, visit.path)],
                "href": lambda digest: manifest_link(visit.repository, found.image, None, digest),
                "tag_href": lambda tag: manifest_link(visit.repository, found.image, tag, ""),
            },
        )

    async def _ask(self, visit: Visit, reference: str) -> ManifestShown:
        found: ManifestShown = await visit.calls.get(
            CALL,
            storage=visit.place["storage"],
            name=visit.place["name"],
            image=visit.place["image"],
            reference=reference,
        )
        return found


def _chosen(platforms: list[ChildShown], wanted: str) -> ChildShown | None:
    """The manifest to look into; None: none that is here."""
    here = [each for each in platforms if each.is_here]
    asked = [each for each in here if each.digest == wanted]
    usual = [each for each in here if each.platform == _USUAL]
    return next(iter((*asked, *usual, *here)), None)


def _indented(raw: str | None) -> str | None:
    """JSON as people read it; what is none as it is."""
    try:
        return None if raw is None else msgspec.json.format(raw, indent=2)
    except (msgspec.DecodeError, RecursionError):
        return raw
