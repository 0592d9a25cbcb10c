"""A worker to be killed: it stages under a key, appends, then reads without end.

    python -m tests.crash.worker <data directory> <key>

Says `ready <session id>` once it holds the key; its presence is what the daemon sees end.
"""

import sys
from pathlib import Path

import trio

from cas.remote.client import connect_store
from cas.sockets import DAEMON_SOCKET
from tests.cas.pushing import OWNER, noise


async def main(root: Path, key: str) -> None:
    async with connect_store(root, root / DAEMON_SOCKET) as store:
        upload, is_owner = await store.stage(OWNER, key=key)
        assert is_owner
        await upload.append(0, noise(300_000))
        sys.stdout.write(f"ready {upload.id}\n")
        sys.stdout.flush()
        while True:
            store.read(lambda view: list(view.scan("meta")))
            await trio.lowlevel.checkpoint()


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]), sys.argv[2])
