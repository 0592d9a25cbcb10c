"""Daemons that say what a test wants them to say."""

from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio

from cas.local import StoreSettings
from cas.remote import wire
from cas.remote.channel import Channel, Hangup
from cas.remote.client import connect_store
from cas.sockets import DAEMON_SOCKET
from tests.cas.daemons import listening


def connected(root: Path, **settings):
    return connect_store(root, root / DAEMON_SOCKET, StoreSettings(**settings))


@asynccontextmanager
async def accepting(root: Path, serve):
    """A daemon that does on each connection what the test wants, from its first byte on."""

    async def handle(stream):
        channel = Channel(stream.socket)
        with suppress(Hangup):
            await serve(channel)
        channel.close()

    with listening(root) as listener:
        async with trio.open_nursery() as nursery:
            accepted = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
            await nursery.start(trio.serve_listeners, handle, [accepted])
            yield
            nursery.cancel_scope.cancel()


def scripted(root: Path, serve):
    """A daemon that does on each connection, once greeted, what the test wants."""

    async def greet(channel):
        await channel.send(wire.Welcome(wire.SHAPE))
        hello = wire.request(await channel.receive())
        if hello.is_present:
            await channel.send(wire.Done())
            await channel.wait_hangup()
        else:
            await serve(channel)

    return accepting(root, greet)
