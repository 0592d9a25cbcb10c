"""What is wanted of an upstream, and an answer that has it: lengths and ranges are checked."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from cas.digest import Digest
from cas.errors import DigestInvalid
from frontend.domain.fields import next_page, parse_length, parse_part
from frontend.domain.upstream import Kind, Upstream
from frontend.domain.urls import Url
from frontend.upstream.connection import Fields, Take
from frontend.upstream.errors import UpstreamBroken, UpstreamChanged, UpstreamFault
from frontend.upstream.transport import Reply, read_short
from frontend.upstream.wire import WIDE

_IDENTITY: Final = ("", "identity")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Something of an image; `path` is what our repository calls it, `start` an offset in bytes."""

    path: str
    kind: Kind
    reference: str = ""
    accept: tuple[str, ...] = ()
    start: int = 0
    query: str = ""  # of lists: what `Answer.next_query` said

    def url(self, upstream: Upstream) -> Url:
        """Where it is.

        Raises:
            UrlInvalid: the name, the reference or the query is not of the grammar.
        """
        url = upstream.url_of(self.path, self.kind, self.reference)
        return url.join(f"?{self.query}") if self.query else url

    def fields(self) -> Fields:
        """What the request says of it."""
        found = []
        if self.accept:
            found.append(("Accept", ", ".join(self.accept)))
        if self.start:
            found.append(("Range", f"bytes={self.start}-"))
        return found


class Answer:
    """Status 200 or 206, with what was wanted. Bytes before `start` are never handed out."""

    def __init__(self, reply: Reply, upstream: str, asked: Url) -> None:
        """Made by `begin`."""
        self.status = reply.status
        self.headers = reply.fields  # lower-case names
        self.length: int | None = None  # bytes of the whole, whatever was asked of it
        self._reply = reply
        self._upstream = upstream
        self._asked = asked
        self._to_skip = 0
        self._count: Callable[[int], None] = _ignore
        self._tell: Callable[[UpstreamFault], None] = _ignore

    @property
    def media_type(self) -> str:
        """Content-Type, as it was sent, without parameters; or empty."""
        return self.headers.get("content-type", "").partition(";")[0].strip()

    @property
    def digest(self) -> Digest | None:
        """What the upstream says that the whole has: a claim, to be checked."""
        try:
            return Digest.parse(self.headers.get("docker-content-digest", ""))
        except DigestInvalid:
            return None

    @property
    def tag(self) -> str:
        """The ETag, or empty."""
        return self.headers.get("etag", "")

    @property
    def next_query(self) -> str | None:
        """The query of the next page of a list (`Wanted.query`); None: this is the last."""
        url = next_page(self.headers.get("link"), self._asked)
        return None if url is None else url.target.partition("?")[2]

    async def receive_into(self, view: memoryview) -> int:
        """Receive at least a byte, at most `view`; 0 at the end.

        Raises:
            UpstreamBroken: it ended too early, stalled, or comes too slowly.
        """
        try:
            while self._to_skip:
                self._to_skip -= await self._skipped(view[: self._to_skip])
            return await self._received(view)
        except UpstreamBroken as fault:
            self._tell(fault)
            raise

    async def move(self, take: Take) -> int | None:
        """Have some of the body taken from the socket itself; see `Connection.move`.

        Raises:
            Whatever `take` raises.
        """
        if self._to_skip:
            return 0
        count = await self._reply.move(take)
        self._count(count or 0)
        return count

    async def iter_blocks(self) -> AsyncIterator[bytes]:
        """Yield the body in blocks of up to 256 KiB, as it comes."""
        view = memoryview(bytearray(WIDE))
        while count := await self.receive_into(view):
            yield bytes(view[:count])

    async def read(self, limit: int) -> bytes:
        """All of a body that is to be short: a manifest, a list.

        Raises:
            UpstreamBroken: as `receive_into`, or more than `limit` bytes come.
        """
        return await read_short(self, limit, self._upstream)

    def watch(self, count: Callable[[int], None], tell: Callable[[UpstreamFault], None]) -> None:
        """Have bytes counted, and faults of the body told."""
        self._count, self._tell = count, tell

    def expect(self, wanted: Wanted) -> None:
        """Check a successful answer against what was asked.

        Raises:
            UpstreamBroken: its head cannot be one.
        """
        encoding = self.headers.get("content-encoding", "").strip().lower()
        # A layer may lie there under such a name: it is never decoded, and its digest decides.
        if encoding not in _IDENTITY and wanted.kind != "blobs":
            raise UpstreamBroken(self._upstream, "compressed, although that was not asked for")
        length = parse_length(self.headers.get("content-length"))
        if self.status == 200:
            self.length, self._to_skip = length, wanted.start
            if length is not None and length < wanted.start:
                raise UpstreamChanged(self._upstream, f"it has {length} bytes now")
            return
        part = parse_part(self.headers.get("content-range"))
        if part is None or not wanted.start or part.start != wanted.start:
            raise UpstreamBroken(self._upstream, "a part that was not asked for")
        if length is not None and length != part.stop - part.start:
            raise UpstreamBroken(self._upstream, "a part of another length than it says")
        self.length = part.total

    async def _skipped(self, view: memoryview) -> int:
        count = await self._received(view)
        if not count:
            raise UpstreamChanged(self._upstream, "it ended before where it was to go on")
        return count

    async def _received(self, view: memoryview) -> int:
        count = await self._reply.receive_into(view)
        self._count(count)
        return count


def begin(reply: Reply, wanted: Wanted, asked: Url, upstream: str) -> Answer:
    """Make an answer of a reply with status 200 or 206.

    Raises:
        UpstreamBroken: it does not answer what was wanted.
    """
    answer = Answer(reply, upstream, asked)
    answer.expect(wanted)
    return answer


def _ignore(_: object) -> None:
    """Until somebody watches."""
