"""The command line. Heavy imports wait until a verb needs them: `orlop --help` is quick.

Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted.
"""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

from cyclopts import App, CycloptsError

from frontend import VERSION
from frontend.commands.backup import backup, restore
from frontend.commands.common import (
    AsJson,
    Config,
    Data,
    Failure,
    Misuse,
    load as _load,
    settings as _settings,
    show as _show,
    silence,
)
from frontend.commands.maintenance import fsck, gc, scrub
from frontend.commands.statistics import stats

app = App(
    name="orlop",
    help="A container registry that stores every byte once.",
    version=VERSION,
    result_action="return_value",
    help_format="plaintext",  # markdown would take a third of the time of `orlop --help`
)
_JOURNAL = """Show who did what, the newest last.

All of it is for administrators; whoever administers a repository may see what was done there.
With --follow and --json each entry is a line."""
_SEARCH = "Find images, tags and digests in all that you may pull."

for _name, _room, _words in (  # imported when one of them is asked for
    ("storage", "storages", "Storages: named places for repositories."),
    ("repository", "repositories", "Repositories: where images are pushed to."),
    ("user", "users", "Users: who may sign in."),
    ("grant", "grants", "Grants: who may do what in a repository."),
    ("package", "packages", "Packages: tags, and manifests that have none."),
    ("token", "tokens", "Access tokens: for programs, in place of a password."),
):
    app.command(f"frontend.commands.{_room}:app", name=_name, help=_words)
config = App(name="config", help="The configuration.")
app.command(config)
app.command(gc)
app.command(fsck)
app.command(backup)
app.command(restore)
app.command(scrub)
app.command(stats)
app.command("frontend.commands.journal:journal", help=_JOURNAL)
app.command("frontend.commands.searching:search", help=_SEARCH)


@app.command
def serve(
    *,
    config: Config = None,
    data: Data = None,
    listen: str | None = None,
    workers: str | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; an empty directory is made ready first.

    SIGHUP takes up a changed configuration; clients that connect meanwhile are served.

    Parameters
    ----------
    listen
        HOST:PORT to listen on (default 127.0.0.1:5080).
    workers
        Processes that serve: a number, or auto for one per core (default 1).
    """
    import trio

    from frontend import log, resources
    from frontend.server.certificate import open_certificate
    from frontend.server.groups import sole_leaf
    from frontend.settings import SettingsError
    from frontend.workers import activation, signals
    from frontend.workers.launch import Launch
    from frontend.workers.notify import Notifier

    signals.hold_reloads()
    flags = _flags(data, listen, workers)
    settings = _settings(config, flags)
    log.configure(settings.log)
    resources.claim()
    run, errors = _way_of_serving(settings)
    try:
        open_certificate(settings.http)  # before anything is made, this must be said
        handed = activation.take_sockets(os.environ)
        load = partial(_load_usable, config, flags)
        kept = trio.run(run, Launch(settings, load, handed, Notifier(os.environ)), os.environ)
        if kept is not None:
            command = [sys.executable, *sys.orig_argv[1:]]
            activation.replace_process(kept, command, os.environ)
    except* (OSError, SettingsError, activation.SocketRefused, *errors) as group:
        raise Failure(f"cannot serve: {sole_leaf(group)}") from None


@config.command(name="check")
def check_config(*, config: Config = None, json: AsJson = True) -> None:
    """Read the configuration file and the environment, and show what would be used, as JSON."""
    from frontend.outbound import build_way
    from frontend.server.certificate import CertificateUnusable, open_certificate
    from frontend.settings import SettingsError, shown

    settings = _settings(config, {})
    try:
        open_certificate(settings.http)
        build_way(settings.proxy)
    except (CertificateUnusable, SettingsError) as error:
        raise Failure(str(error)) from None
    _show(shown(settings), "", as_json=json)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit."""
    try:
        app(arguments, exit_on_error=False)
        sys.stdout.flush()
    except CycloptsError:
        raise SystemExit(2) from None  # it has printed what was wrong, and what was meant
    except Misuse as misuse:
        sys.stderr.write(f"orlop: {misuse}\n")
        raise SystemExit(2) from None
    except Failure as failure:
        sys.stderr.write(f"orlop: {failure}\n")
        raise SystemExit(1) from None
    except BrokenPipeError:  # whoever read what we print had enough
        silence()
        raise SystemExit(1) from None


def _flags(data: Path | None, listen: str | None, workers: str | None) -> dict[str, str | None]:
    place = None if data is None else str(data)
    return {"storage.data": place, "http.listen": listen, "http.workers": workers}


def _way_of_serving(settings: Any) -> tuple[Any, Any]:  # noqa: ANN401 - imported late
    """What serves, in this process or in others, and how it may fail."""
    from frontend.settings import count_workers

    if count_workers(settings) == 1:
        from frontend import service
        from frontend.bootstrap import PasswordUnusable
        from frontend.errors import KNOWN_ERRORS

        return service.run, (PasswordUnusable, *KNOWN_ERRORS)
    from frontend.workers import supervisor
    from frontend.workers.keeper import StartFailed

    return supervisor.run, (StartFailed,)


def _load_usable(config: Path | None, flags: dict[str, str | None]) -> Any:  # noqa: ANN401 - as above
    """The configuration, if we could be started with it."""
    from frontend.server.certificate import open_certificate

    settings = _load(config, flags)
    open_certificate(settings.http)
    return settings


if __name__ == "__main__":
    main()
