"""What is written, in which form, and what never is."""

import io
import json
import logging
import os
import time

import pytest
import structlog

from frontend import log
from frontend.settings import Log


@pytest.fixture
def written():
    """Configure logging into a buffer, and put everything back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    saved = structlog.get_config()
    out = io.StringIO()

    def configure(process="", **settings):
        log.configure(Log(**settings), out, process)
        return out

    yield configure
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**saved)


def access_lines(out, paths):
    """The lines of these paths, once all are there: each is written after its answer was sent."""
    lines = []
    for _ in range(500):
        lines = [json.loads(line) for line in out.getvalue().splitlines()]
        lines = [line for line in lines if line.get("path") in paths]
        if len(lines) == len(paths):
            break
        time.sleep(0.01)
    assert [line["path"] for line in lines] == paths
    return lines


def test_json_is_one_object_a_line(written):
    out = written(format="json")

    log.logger("orlop.access").info("request", status=200, user="a\nb")
    logging.getLogger("hypercorn.error").warning("from %s", "hypercorn")

    first, second = map(json.loads, out.getvalue().splitlines())
    assert (first["event"], first["status"], first["user"]) == ("request", 200, "a\nb")
    assert (second["event"], second["level"]) == ("from hypercorn", "warning")
    assert first["timestamp"].endswith("Z")


def test_what_is_no_terminal_gets_json(written):
    out = written(format="auto")

    log.logger("x").info("event")

    assert json.loads(out.getvalue())["event"] == "event"


def fail(password):
    raise ValueError(len(password))


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_variables(written, form):
    out = written(format=form)

    try:
        fail("hunter" + "2")  # in a variable, and in no line of the source
    except ValueError:
        log.logger("x").exception("failed")
        logging.getLogger("y").exception("failed")

    assert out.getvalue().count("ValueError") >= 2
    assert "hunter2" not in out.getvalue()


def test_the_level_is_kept(written):
    out = written(format="json", level="warning")

    log.logger("x").info("unseen")
    log.logger("x").warning("seen")

    assert [json.loads(line)["event"] for line in out.getvalue().splitlines()] == ["seen"]


def test_an_access_line_has_no_secret(live, written):
    out = written(format="json")

    live.stranger.get("/v2/token?scope=secret-scope", auth=("admin", "secret-password"))
    live.stranger.get("/v2/", headers={"Authorization": "Bearer secret-token"})
    live.stranger.get("/api/v1/stats?token=secret-query")

    lines = access_lines(out, ["/v2/token", "/v2/", "/api/v1/stats"])
    assert {line["status"] for line in lines} == {401}
    assert "secret" not in out.getvalue()


def test_an_access_line_names_user_bytes_and_duration(live, written):
    out = written(format="json")

    live.client.get("/v2/")
    live.client.get("/api/v1/storages")

    first, second = access_lines(out, ["/v2/", "/api/v1/storages"])
    assert (first["method"], first["status"], first["bytes"], first["user"]) == (
        "GET", 200, 2, "admin",
    )  # fmt: skip
    assert first["seconds"] > 0
    assert second["user"] == "admin"


def test_the_line_is_the_same_whoever_answers(live, written):
    out = written(format="json")
    path = f"/v2/{live.image()}/manifests/none"

    live.client.get(path)  # proven now, if it was not before: the connection answers
    live.client.get(path)
    live.client.request("GET", path, content=b"a body is the application's")

    lines = access_lines(out, [path] * 3)
    for line in lines:
        assert line.pop("seconds") > 0
        assert line.pop("timestamp").endswith("Z")
    assert lines[0] == lines[1] == lines[2]
    fields = ["method", "path", "status", "bytes", "user", "address", "event", "level"]
    assert list(lines[0]) == fields
    assert lines[0]["address"] == "127.0.0.1"


@pytest.mark.parametrize("form", ["json", "console"])
def test_one_process_of_several_is_named_in_each_line(live, written, form):
    out = written(process="worker 2", format=form)
    path = f"/v2/{live.image()}/manifests/none"

    log.logger("x").info("event")
    logging.getLogger("y").info("another")
    live.client.get(path)

    for _ in range(500):
        if path in out.getvalue():
            break
        time.sleep(0.01)
    lines = out.getvalue().splitlines()
    assert len(lines) == 3
    assert all("worker 2" in line and str(os.getpid()) in line for line in lines)


def test_a_console_has_its_lines_too(live, written):
    out = written(format="console")
    path = f"/v2/{live.image()}/manifests/none"

    live.client.get(path)

    for _ in range(500):
        if path in out.getvalue():
            break
        time.sleep(0.01)
    assert "status=404" in out.getvalue()
