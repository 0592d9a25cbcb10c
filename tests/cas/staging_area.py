"""What tests of sessions share; the fixture `idle` is their `Sessions`."""

from cas.digest import Digest
from cas.uploads.sessions import Sessions
from tests.cas.pushing import OWNER

SECRET = bytes(32)


async def begin(found: Sessions, content: bytes = b""):
    session, _ = await found.stage(OWNER, None, None)
    if content:
        await session.append(0, content)
    return session


async def seal_and_finish(found: Sessions, session) -> Digest:
    await found.seal(session)
    await found.finish(session)
    return session.ingest.digest()
