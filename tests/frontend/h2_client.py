"""A client of h2 that says what it is told to, sound or not."""

import contextlib
import resource
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import Frame

from tests.frontend.live import BASIC, Live, read_to_end

PAGE = resource.getpagesize()
HEAD = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/healthz"), (b":authority", b"x")]
ALIVE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"

LENIENT = H2Configuration(
    client_side=True,
    header_encoding=None,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)


@dataclass
class Answer:
    """What has come for one request."""

    fields: dict[bytes, bytes] = field(default_factory=dict)
    informed: list[bytes] = field(default_factory=list)  # statuses below 200
    body: bytearray = field(default_factory=bytearray)
    is_whole: bool = False
    reset: int | None = None  # the code of what ended it

    @property
    def status(self) -> int:
        return int(self.fields[b":status"])

    @property
    def is_over(self) -> bool:
        return self.is_whole or self.reset is not None


class Peer:
    """One connection; a context manager."""

    def __init__(self, live: Live, window: int = 1 << 24) -> None:
        if live.trust is not None:
            live.trust.set_alpn_protocols(["h2"])
        self.socket = live.connect()
        self.h2 = H2Connection(LENIENT)
        said = {SettingCodes.INITIAL_WINDOW_SIZE: window}
        self.h2.local_settings = Settings(client=True, initial_values=said)
        self.h2.initiate_connection()
        self.answers: dict[int, Answer] = defaultdict(Answer)
        self.is_over = False
        self.goodbye: int | None = None  # the code of a GOAWAY
        self.flush()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask(self, method: str, path: str, *fields: tuple[bytes, bytes], body: bytes | None) -> int:
        """Begin a request, and send its body as the windows allow; `None` leaves it open."""
        number = self.begin(
            [
                (b":method", method.encode()),
                (b":scheme", b"http"),
                (b":path", path.encode()),
                (b":authority", b"x"),
                (b"authorization", BASIC.encode()),
                *fields,
            ],
            is_all=body == b"",
        )
        if body:
            self.send_body(number, body)
        return number

    def begin(self, fields: list[tuple[bytes, bytes]], *, is_all: bool = True) -> int:
        number = self.h2.get_next_available_stream_id()
        self.h2.send_headers(number, fields, end_stream=is_all)
        self.flush()
        return number

    def send_body(self, number: int, body: bytes) -> None:
        rest = memoryview(body)
        while rest and not self.answers[number].is_over and not self.is_over:
            room = min(self.h2.local_flow_control_window(number), 16384, len(rest))
            if not room:
                self.read()
                continue
            with contextlib.suppress(ProtocolError, KeyError):
                self.h2.send_data(number, bytes(rest[:room]))
            rest = rest[room:]
            self.flush()
        with contextlib.suppress(ProtocolError, KeyError):
            self.h2.end_stream(number)
        self.flush()

    def wait(self, *numbers: int) -> list[Answer]:
        """Read until these are answered, or the connection has ended."""
        while not self.is_over and not all(self.answers[number].is_over for number in numbers):
            self.read()
        return [self.answers[number] for number in numbers]

    def wait_for_end(self) -> None:
        while not self.is_over:
            self.read()

    def get(self, path: str, *fields: tuple[bytes, bytes]) -> Answer:
        return self.wait(self.ask("GET", path, *fields, body=b""))[0]

    def send(self, *frames: Frame) -> None:
        """Send frames as they are."""
        self.send_raw(b"".join(frame.serialize() for frame in frames))

    def send_raw(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError:
            self.is_over = True

    def flush(self) -> None:
        self.send_raw(self.h2.data_to_send())

    def read(self) -> None:
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            raise
        except OSError:
            data = b""
        if not data:
            self.is_over = True
            return
        for event in self.h2.receive_data(data):
            self._note(event)
        self.flush()

    def _note(self, event: events.Event) -> None:
        match event:
            case events.ResponseReceived():
                self.answers[event.stream_id].fields = dict(event.headers)
            case events.InformationalResponseReceived():
                self.answers[event.stream_id].informed.append(dict(event.headers)[b":status"])
            case events.DataReceived():
                self.answers[event.stream_id].body += event.data
                if event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case events.StreamEnded():
                self.answers[event.stream_id].is_whole = True
            case events.StreamReset():
                self.answers[event.stream_id].reset = event.error_code
            case events.ConnectionTerminated():
                self.goodbye = event.error_code


@contextlib.contextmanager
def unharmed(live):
    """Whatever happens in the block: others go on, new ones come, and memory is where it was.

    That nothing was logged as an error is what `running` sees to at the end.
    """
    if live.trust is not None:
        live.trust.set_alpn_protocols(["http/1.1"])
    with live.connect() as neighbour:
        neighbour.sendall(ALIVE + b"\r\n")
        assert neighbour.recv(4096).startswith(b"HTTP/1.1 200")
        before = resident()
        yield
        grown = resident() - before
        neighbour.sendall(ALIVE + b"Connection: close\r\n\r\n")
        assert read_to_end(neighbour).startswith(b"HTTP/1.1 200")
    with Peer(live) as peer:
        assert peer.get("/healthz").status == 200
    assert grown < 64 << 20
    assert live.errors.lines == []


def resident() -> int:
    """Bytes of this process, which the server is a thread of."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE
