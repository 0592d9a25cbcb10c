"""The store behind a Unix socket, for the worker processes of its data directory.

A connection carries one call at a time: a request, then its answer, or several for `maintain`.
Whatever a peer sends, or however it dies, ends its own connection and nothing else. A peer that
hangs up cancels its call, as far as the store lets itself be cancelled.
"""

import logging
import socket
from contextlib import aclosing, suppress
from typing import Final

import trio

from cas.errors import CasError, DaemonAway, UploadUnknown, from_system
from cas.local import LocalStore
from cas.remote import wire
from cas.remote.channel import Channel, Hangup
from cas.sockets import is_own_peer
from cas.tasks import background
from cas.uploads.session import Session
from index.errors import IndexFault

MAX_CONNECTIONS: Final = 1024  # each holds a descriptor, and at most one frame
AT_WORK_SECONDS: Final = 3.0  # clients give up at five times as much
_DELIVERY_SECONDS: Final = 5.0  # for an answer to be taken; so long can it hold up our end

_log = logging.getLogger("orlop.daemon")


async def serve_store(
    store: LocalStore,
    listener: socket.socket,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the verbs of `store` on a listening Unix socket, until cancelled.

    Processes of other users are hung up on, and so is everybody beyond MAX_CONNECTIONS.
    """
    daemon = _Daemon(store)
    # What outlasts our cancellation, as a commit does, is waited for as long as anything else.
    async with background(daemon.tell_who_waits), trio.open_nursery() as nursery:
        accepting = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
        await nursery.start(trio.serve_listeners, daemon.serve, [accepting])
        task_status.started()


class _Daemon:
    """What the connections share."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._sessions = store.sessions
        self._connections = 0
        self._under_way: set[Channel] = set()  # a call each, not answered yet
        self._keyed: dict[bytes, list[Session]] = {}  # of each client that is present

    async def tell_who_waits(self) -> None:
        """Say again and again that we live, to everybody whose call is under way."""
        while True:
            await trio.sleep(AT_WORK_SECONDS)
            for channel in self._under_way:
                channel.mention(wire.AtWork())

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection to its end; no error leaves."""
        if self._connections >= MAX_CONNECTIONS or not is_own_peer(stream.socket):
            stream.socket.close()
            return
        self._connections += 1
        channel = Channel(stream.socket)
        try:
            await self._converse(channel)
        except Hangup:
            return
        except wire.FrameInvalid as error:
            _log.warning("a connection sent no message of ours: %s", error)
        except Exception:  # noqa: BLE001 - the fence: one connection's bug is not the others'
            _log.exception("a connection failed")
        finally:
            self._connections -= 1
            channel.close()

    async def _converse(self, channel: Channel) -> None:
        await channel.send(wire.Welcome(wire.SHAPE))
        hello = wire.request(await channel.receive())
        if not isinstance(hello, wire.Hello) or hello.shape != wire.SHAPE:
            return  # it has been told our version, and says why to its user
        if hello.is_present:
            await self._be_told_of_the_end(channel, hello.client)
            return
        while True:
            request = wire.request(await channel.receive())
            if channel.is_ahead:
                return  # its turn is to listen: we could not tell its next request from its end
            await self._answer(channel, request, hello.client)

    async def _be_told_of_the_end(self, channel: Channel, client: bytes) -> None:
        """Hold a client's presence; when it ends, so do its keys, and a follower takes over."""
        keyed = self._keyed[client] = []
        with suppress(Hangup):
            await channel.send(wire.Done())
            await channel.wait_hangup()
        if self._keyed.get(client) is keyed:  # else it has come back, with other keys
            del self._keyed[client]
        async with trio.open_nursery() as nursery:
            for session in keyed:
                nursery.start_soon(self._leave, session)

    async def _leave(self, session: Session) -> None:
        with suppress(UploadUnknown):  # it ended
            await self._sessions.leave(session)

    async def _answer(self, channel: Channel, request: wire.Request, client: bytes) -> None:
        reply: wire.Reply | None = None
        self._under_way.add(channel)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_at_hangup, channel, nursery.cancel_scope)
                reply = await self._reply(channel, request, client)
                nursery.cancel_scope.cancel()
        finally:
            self._under_way.discard(channel)
            if reply is not None:
                await self._deliver(channel, reply)
        if reply is None:
            raise Hangup

    async def _deliver(self, channel: Channel, reply: wire.Reply) -> None:
        """Answer, also when we are to stop: it was done, and the client should learn it."""
        is_delivered = False
        try:
            with trio.move_on_after(_DELIVERY_SECONDS, shield=True):
                await channel.send(reply)
                is_delivered = True
        finally:
            if not is_delivered and isinstance(reply, wire.Staged) and reply.is_owner:
                # Nobody knows of it, and a key would wait for its owner for a day.
                with suppress(CasError):
                    await self._forgo(self._sessions.find(reply.owner, reply.session))
        if not is_delivered:
            raise Hangup

    async def _forgo(self, session: Session) -> None:
        if session.key is None or not session.size:
            self._sessions.discard(session)
        else:
            await self._sessions.leave(session)

    async def _reply(
        self, channel: Channel, request: wire.Request, client: bytes
    ) -> wire.Reply | None:
        """What to answer; None when nobody is there to be answered."""
        try:
            return await self._do(channel, request, client)
        except Hangup:
            return None
        except wire.FrameInvalid as error:
            _log.warning("a connection sent no message of ours: %s", error)
            return None
        except (CasError, IndexFault) as error:
            return wire.Failed(wire.named_error(error))
        except OSError as error:
            return wire.Failed(wire.named_error(from_system(error, "the data directory")))
        except Exception as error:  # noqa: BLE001 - a bug of ours: the worker answers 500, we say where it is
            _log.exception("a call failed: %s", type(request).__name__)
            return wire.Broke(f"{type(error).__name__}: {error}")

    async def _do(self, channel: Channel, request: wire.Request, client: bytes) -> wire.Reply:
        match request:
            case wire.Commit():
                changes, expectations = request.changes, request.expectations
                return wire.Number(
                    await self._store.commit(wire.changes(changes), wire.expectations(expectations))
                )
            case wire.Extend():
                await self._store.extend(request.image, request.digest)
            case wire.Maintain():
                await self._maintain(channel, request)
            case wire.ListUploads():
                return wire.Uploads(tuple(await self._sessions.under_way()))
            case wire.Hello():
                raise wire.FrameInvalid("a second greeting")
            case _:
                return await self._do_with_upload(request, client)
        return wire.Done()

    async def _do_with_upload(
        self,
        request: wire.Stage | wire.Grown | wire.WaitGrown | wire.Leave | wire.Cancel,
        client: bytes,
    ) -> wire.Reply:
        match request:
            case wire.Stage():
                return await self._stage(request, client)
            case wire.Grown():
                session = self._sessions.find(request.owner, request.session)
                if session.key is not None:
                    self._give(session, self._keyed_of(client))
                return wire.Number(await self._sessions.note_grown(session, session.size))
            case wire.WaitGrown():
                growth = await self._sessions.wait_grown(
                    request.owner, request.session, request.offset, request.linger
                )
                return wire.Growth(*growth)
            case wire.Leave():
                await self._sessions.leave(self._sessions.find(request.owner, request.session))
                return wire.Done()
            case wire.Cancel():
                await self._sessions.find(request.owner, request.session).cancel()
                return wire.Done()

    async def _stage(self, request: wire.Stage, client: bytes) -> wire.Staged:
        keyed = None if request.key is None else self._keyed_of(client)
        upload, is_owner = await self._store.stage(
            request.owner, session=request.session, key=request.key
        )
        session = self._sessions.follow(upload)
        if keyed is not None and is_owner:
            self._give(session, keyed)
        return wire.Staged(session.id, session.size, session.owner, is_owner)

    def _keyed_of(self, client: bytes) -> list[Session]:
        """The sessions that end with a client's presence.

        Raises:
            DaemonAway: it is over: nobody would tell of the client's end.
        """
        if client not in self._keyed:
            raise DaemonAway
        return self._keyed[client]

    def _give(self, session: Session, keyed: list[Session]) -> None:
        """Put a session with a key on the list of who appends to it, and on nobody else's."""
        self._sessions.own(session)
        if session in keyed:
            return
        for held in self._keyed.values():
            held[:] = [each for each in held if not each.is_ended and each is not session]
        keyed.append(session)

    async def _maintain(self, channel: Channel, request: wire.Maintain) -> None:
        async with aclosing(self._store.maintain(request.task)) as telling:
            async for told in telling:
                await channel.send(wire.Told(wire.named(told)))


async def _cancel_at_hangup(channel: Channel, scope: trio.CancelScope) -> None:
    await channel.wait_hangup()
    scope.cancel()
