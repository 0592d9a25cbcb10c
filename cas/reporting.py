"""Pass on what readers of this process found damaged, once for each chunk."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final

import trio

from cas.errors import CasError
from cas.packs import Packs
from cas.reports import unknown
from index.environment import Environment
from index.errors import IndexFault
from index.records import Place

LOOK_SECONDS: Final = 1.0

Tell = Callable[[Sequence[Place]], Awaitable[None]]


async def keep_reporting(packs: Packs, environment: Environment, tell: Tell) -> None:
    """Each second tell of the damage that is not in the index yet, until cancelled.

    What cannot be told now is forgotten: the next reader meets it again.
    """
    while True:
        await trio.sleep(LOOK_SECONDS)
        places = packs.damage.take()
        if not places:
            continue
        try:
            new = await trio.to_thread.run_sync(environment.read, partial(unknown, places=places))
            if new:
                await tell(new)
        except (CasError, IndexFault):
            continue
