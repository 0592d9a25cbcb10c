"""A process under a supervisor: `python -m frontend.workers.child`, with its order on a lifeline.

Ctrl-C and SIGHUP are the supervisor's; a service manager may send SIGTERM to every process at once.
A worker drains then, as it would be asked to anyway; the daemon waits until it is asked, for the
workers need it while they drain.
"""

import logging
import signal
import sys
from collections.abc import Awaitable, Callable

import trio

from frontend import log, resources
from frontend.server.groups import sole_leaf
from frontend.workers.lifeline import Lifeline, take_lifeline
from frontend.workers.orders import Failed, Order

_log = logging.getLogger("orlop.child")


def main() -> None:
    """Be what the order says, until the lifeline ends.

    What cannot work says why to the supervisor, which tells the person.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        lifeline, order = take_lifeline()
    except EOFError:
        return
    log.configure(order.settings.log, process=order.name)
    resources.claim()
    run = _role(order)
    from frontend.bootstrap import PasswordUnusable
    from frontend.errors import KNOWN_ERRORS
    from frontend.settings import SettingsError

    try:
        trio.run(run, order, lifeline)
    except* (OSError, SettingsError, PasswordUnusable, *KNOWN_ERRORS) as group:
        reason = str(sole_leaf(group))
        if lifeline.is_answered:
            _log.error("%s cannot go on: %s", order.name, reason)
        lifeline.say(Failed(reason=reason))
        sys.exit(1)


def _role(order: Order) -> Callable[[Order, Lifeline], Awaitable[None]]:
    """What to run. The daemon has no need of HTTP, and does not import it."""
    if order.role == "daemon":
        from frontend.workers import daemon

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return daemon.run
    from frontend.workers import worker

    return worker.run


if __name__ == "__main__":
    main()
