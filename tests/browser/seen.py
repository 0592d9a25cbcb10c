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
    "GET /r/<storage>/<name>/<image:image>:<tag>": [
        ("", "/r/local/public/alpine:latest"),
        ("", "/r/local/public/alpine:v1.7.1"),
    ],
    "GET /r/<storage>/<name>/<image:image>@<digest>": [
        ("admin", "/r/local/public/alpine@{digest}")
    ],
    "GET /admin": [("admin", "/admin")],
    "GET /admin/repositories": [("admin", "/admin/repositories")],
    "GET /admin/repositories/new": [("admin", "/admin/repositories/new")],
    "GET /admin/repositories/<storage>/<name>": [
        ("admin", "/admin/repositories/local/team"),
        ("admin", "/admin/repositories/local/hub"),
    ],
    "GET /admin/repositories/<storage>/<name>/packages": [
        ("admin", "/admin/repositories/local/public/packages"),
        ("admin", "/admin/repositories/local/empty/packages"),
    ],
    "GET /admin/repositories/<storage>/<name>/activity": [
        ("admin", "/admin/repositories/local/team/activity")
    ],
    "GET /admin/users": [("admin", "/admin/users")],
    "GET /admin/users/<username>": [("admin", "/admin/users/{writer}")],
    "GET /admin/activity": [("admin", "/admin/activity")],
    "GET /admin/storage": [("admin", "/admin/storage")],
    "GET /admin/transfers": [("admin", "/admin/transfers")],
    "GET /admin/proxies": [("admin", "/admin/proxies")],
}
ERRORS = [("", "/nothing"), ("writer", "/r/local/nothing"), ("writer", "/?page=x")]
FILES = {"GET /static/<file>"}
