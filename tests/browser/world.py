"""What there is to see, and windows to see it in."""

import json
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page

from cas.digest import Digest
from frontend.domain.manifests import OCI_INDEX, OCI_MANIFEST
from index.growth import DAY_MS, Sample
from tests.frontend.live import Live
from tests.frontend.people import Person, person
from tests.frontend.test_lists import described, push, put
from tests.frontend.world import image_json

EVIL = '<img src=x onerror="alert(1)">\N{RIGHT-TO-LEFT OVERRIDE}evil'
HEIGHT = 900
PATIENCE_MS = 20_000


@dataclass
class Window:
    """A browser's window: what went wrong in it is kept."""

    context: BrowserContext
    page: Page
    faults: list[str] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)  # of pages, which the console tells of too

    def close(self) -> None:
        self.context.close()


@dataclass
class Site:
    """A server, the people who have accounts there, and a browser."""

    live: Live
    browser: Browser
    people: dict[str, Person] = field(default_factory=dict)
    digest: str = ""  # of an index in local/public/alpine
    _signed_in: dict[str, dict] = field(default_factory=dict)

    def window(self, who: str = "", *, theme="light", width=1440, has_scripts=True) -> Window:
        """Open a window of somebody who is signed in; of nobody with ""."""
        context = self.browser.new_context(
            base_url=self.live.server.url,
            viewport={"width": width, "height": HEIGHT},
            color_scheme=theme,
            java_script_enabled=has_scripts,
            storage_state=self._state(who) if who else None,
        )
        context.set_default_timeout(PATIENCE_MS)
        window = Window(context, context.new_page())
        window.page.on("console", lambda said: self._hear(window, said.type, said.text))
        window.page.on("pageerror", lambda error: window.faults.append(f"error: {error}"))
        context.on("request", lambda asked: self._check(window, asked.url))
        return window

    def _hear(self, window: Window, kind: str, text: str) -> None:
        is_of_a_page = text.startswith("Failed to load resource: the server responded with")
        if kind in ("error", "warning") and not is_of_a_page:
            window.faults.append(f"{kind}: {text}")

    def _check(self, window: Window, url: str) -> None:
        if not url.startswith((f"{self.live.server.url}/", "data:")):
            window.faults.append(f"asks {urlsplit(url).netloc}")

    def _state(self, who: str) -> dict:
        if who not in self._signed_in:
            session = self.people[who].sign_in()
            host = urlsplit(self.live.server.url).hostname
            cookie = {"name": "orlop_session", "value": session.cookie, "domain": host}
            flags = {"path": "/", "httpOnly": True, "secure": False, "sameSite": "Strict"}
            self._signed_in[who] = {"cookies": [cookie | flags | {"expires": -1}], "origins": []}
        return self._signed_in[who]


def seeded(live: Live, browser: Browser) -> Site:
    """Some repositories with images, and an administrator and somebody who may write in one."""
    site = Site(live, browser, {"admin": person(live, "admin"), "writer": person(live)})
    for name, visibility in (("local/public", "public"), ("local/team", "private")):
        live.create_repository(name, visibility)
    live.create_repository("local/empty", "public")
    live.client.patch("/api/v1/repositories/local/public", json={"description": EVIL})
    _proxy(live)
    site.people["writer"].grant("local/team", "writer")
    for number in range(60):
        layers = [b"x" * (1000 + 5000 * number)]
        tag = f"v1.{number}.{number % 3}"
        push(live, "local/public/alpine", tag, layers=layers, os="linux", architecture="arm64")
    live.note_growth(*_growth(time.time_ns() // 1_000_000))
    site.digest = _push_index(live, "local/public/alpine", "latest")
    for image in ("tools/build", "tools/build/gcc", "tools/lint", "web"):
        push(live, f"local/team/{image}", "v1", "latest", os="linux", architecture="amd64")
    return site


def _growth(now: int) -> list[Sample]:
    """Four months, in which something was once deleted, until now (milliseconds since 1970)."""
    sizes = [(5 * day - (200 if day > 80 else 0)) << 28 for day in range(121)]
    return [
        Sample(now - (120 - day) * DAY_MS, size, size * 3 // 10, size * 4 // 10)
        for day, size in enumerate(sizes)
    ]


def _push_index(live: Live, image: str, tag: str) -> str:
    """An index of two platforms, of which one is signed; with text of strangers in it."""
    children = []
    for architecture in ("amd64", "arm64"):
        made = push(live, image, os="linux", architecture=architecture, author=EVIL)
        platform = {"os": "linux", "architecture": architecture}
        children.append({name: made[name] for name in ("mediaType", "digest", "size")})
        children[-1]["platform"] = platform
    notes = {"org.opencontainers.image.source": "javascript:alert(1)", "note": EVIL}
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children}
    content = json.dumps(index | {"annotations": notes}).encode()
    put(live, image, content, OCI_INDEX, (tag,))
    subject = {"mediaType": OCI_INDEX, "digest": str(Digest.of(content)), "size": len(content)}
    config = described(live, image, b"{}", "application/vnd.oci.empty.v1+json")
    kind = "application/vnd.dev.cosign.artifact.sig.v1+json"
    signature = image_json(config=config, subject=subject, artifactType=kind)
    put(live, image, json.dumps(signature).encode(), OCI_MANIFEST)
    return subject["digest"]


def _proxy(live: Live) -> None:
    upstream = {"url": "https://registry.example.invalid"}
    body = {"storage": "local", "name": "hub", "kind": "proxy", "upstream": upstream}
    answer = live.client.post("/api/v1/repositories", json=body)
    assert answer.status_code == 201, answer.text
