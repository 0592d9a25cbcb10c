"""Every page, as it is looked at: what the table of routes calls it → who looks, and where.

`{digest}` is an index of `local/public/alpine`, `{writer}` the name of somebody. Another page adds
its row; `test_pages` fails without it.
"""

PAGES: dict[str, list[tuple[str, str]]] = {
    "GET /": [("", "/"), ("admin", "/"), ("writer", "/?q=team"), ("", "/?storage=nowhere")],
    "GET /sign-in": [("", "/sign-in"), ("", "/sign-in?next=/account")],
    "GET /account": [("writer", "/account")],
    "GET /r/<storage>/<name>": [
        ("", "/r/local/public"),
        ("writer", "/r/local/team"),
        ("writer", "/r/local/team?q=build"),
        ("", "/r/local/empty"),
        ("admin", "/r/local/hub"),
    ],
    "GET /r/<storage>/<name>/<folder:folder>": [("writer", "/r/local/team/tools/")],
    "GET /r/<storage>/<name>/<image:image>": [
        ("", "/r/local/public/alpine"),
        ("", "/r/local/public/alpine?sort=version&page=2"),
        ("writer", "/r/local/team/tools/build"),
        ("", "/r/local/public/alpine?q=nothing"),
    ],
    "GET /search": [
        ("", "/search"),
        ("", "/search?q=alpine"),
        ("writer", "/search?q=nothing-here"),
    ],
    "GET /connect": [("", "/connect"), ("writer", "/connect")],
    "GET /admin/repositories": [("admin", "/admin/repositories")],
    "GET /admin/repositories/new": [("admin", "/admin/repositories/new")],
    "GET /admin/repositories/<storage>/<name>": [
        ("admin", "/admin/repositories/local/team"),
        ("admin", "/admin/repositories/local/hub"),
    ],
}
ERRORS = [("", "/nothing"), ("writer", "/r/local/nothing"), ("writer", "/?page=x")]
FILES = {"GET /static/<file>"}
