"""A client that asks no server: it passes the suite of the real ones (`test_clients.py`)."""

import json
from collections.abc import Callable
from urllib.parse import parse_qsl

from frontend.client import CommandFailed


class FakeClient:
    """Answers from `lists` (path → items) and `answers` (method, path → value, or what makes it).

    `calls` are all it was asked, but for pages of lists.
    """

    def __init__(self) -> None:
        self.lists: dict[str, list] = {}
        self.answers: dict[tuple[str, str], object] = {}
        self.streams: dict[str, list[dict]] = {}
        self.calls: list[tuple[str, str, object]] = []

    def call(self, method: str, path: str, body: object = None):
        place, _, query = path.partition("?")
        body = json.loads(json.dumps(body))  # what is sent must be JSON
        if method == "GET" and place in self.lists:
            return self._page(place, dict(parse_qsl(query)))
        self.calls.append((method, path, body))
        if (method, place) not in self.answers:
            raise CommandFailed(f"the fake does not know {method} {place}")
        answer = self.answers[method, place]
        return answer(body) if isinstance(answer, Callable) else answer

    def stream(self, path: str, body: object = None):
        self.calls.append(("POST", path, body))
        if path not in self.streams:
            raise CommandFailed(f"the fake does not know POST {path}")
        yield from self.streams[path]

    def _page(self, place, query):
        page, size = int(query["page"]), min(int(query["per_page"]), 1000)
        items = self.lists[place]
        start = (page - 1) * size
        cut = items[start : start + size]
        return {"page": page, "per_page": size, "total": len(items), "items": cut}
