"""Repositories are made, changed and ended by forms; what is wrong is said beside the field."""

import secrets

import pytest

from frontend.web.admin_repositories import GIB, in_gib
from tests.frontend.people import person, repository

NEW = "/admin/repositories"


def fields(name: str, **more: str) -> dict[str, str]:
    return {"kind": "hosted", "storage": "local", "name": name, "visibility": "private"} | more


def proxy(name: str, **more: str) -> dict[str, str]:
    upstream = {"url": "http://127.0.0.1:9", "tag_ttl_seconds": "60"}
    return fields(name, kind="proxy") | upstream | more


def fresh() -> str:
    return f"w-{secrets.token_hex(4)}"


def shown(live, name: str) -> dict:
    answer = live.client.get(f"/api/v1/repositories/{name}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def push_index(live, name: str) -> None:
    """An image without platforms: the smallest there is."""
    kind = "application/vnd.oci.image.index.v1+json"
    content = f'{{"schemaVersion": 2, "mediaType": "{kind}", "manifests": []}}'
    path, headers = f"/v2/{name}/manifests/v1", {"Content-Type": kind}
    assert live.client.put(path, content=content, headers=headers).status_code == 201


def fault_of(answer, field: str) -> bool:
    """Whether the form came back with a fault beside this field."""
    return answer.status_code >= 400 and f'id="f-{field}-fault"' in answer.text


@pytest.fixture
def admin(visitors):
    return visitors["admin"]


def test_a_hosted_repository_is_made_with_its_rules(live, admin):
    name = fresh()

    answer = admin.send(
        NEW, **fields(name, immutable_tags="v*\nstable", quota_bytes="1.5", description="x <b>y")
    )

    assert answer.status_code == 303
    assert answer.headers["Location"] == f"{NEW}/local/{name}"
    made = shown(live, f"local/{name}")
    assert made["immutable_tags"] == ["v*", "stable"]
    assert made["quota_bytes"] == 3 * GIB // 2
    page = admin.get(f"{NEW}/local/{name}").text
    assert "x &lt;b&gt;y" in page
    assert "x <b>y" not in page


def test_a_proxy_keeps_its_password_to_itself(live, admin):
    name, secret = fresh(), secrets.token_urlsafe(12)

    answer = admin.send(NEW, **proxy(name, username="bob", password=secret))

    assert answer.status_code == 303, answer.text
    assert shown(live, f"local/{name}")["upstream"]["tag_ttl_seconds"] == 60
    page = admin.get(f"{NEW}/local/{name}").text
    assert 'value="bob"' in page
    assert secret not in page


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("name", fields("No Good")),
        ("name", fields("public")),
        ("storage", fields("x", storage="nowhere")),
        ("visibility", fields("x", visibility="odd")),
        ("quota_bytes", fields("x", quota_bytes="much")),
        ("quota_bytes", fields("x", quota_bytes="-1")),
        ("immutable_tags", fields("x", immutable_tags="[")),
        ("immutable_tags", fields("x", immutable_tags="\n".join(map(str, range(1000))))),
        ("url", proxy("x", url="ftp://x")),
        ("url", proxy("x", url="")),
        ("tag_ttl_seconds", proxy("x", tag_ttl_seconds="soon")),
        ("max_bytes", proxy("x", max_bytes="-3")),
        ("password", proxy("x", password="lonely")),  # noqa: S106 - a form's field
    ],
)
def test_what_is_wrong_is_said_beside_its_field_and_the_rest_stays(admin, field, wrong):
    answer = admin.send(NEW, **wrong, description="kept & shown")

    assert fault_of(answer, field), answer.text
    assert 'value="kept &amp; shown"' in answer.text
    assert "lonely" not in answer.text


def test_settings_are_changed_and_what_others_changed_meanwhile_is_not_lost(live, admin):
    place = repository(live)
    etag = live.client.get(f"/api/v1/repositories/{place}").headers["ETag"]
    changed = {"kind": "hosted", "visibility": "public", "description": "new", "etag": etag}

    done = admin.send(f"{NEW}/{place}/settings", **changed)
    again = admin.send(f"{NEW}/{place}/settings", **changed | {"description": "late"})

    assert done.status_code == 303
    assert again.status_code == 412
    assert 'value="late"' in again.text
    assert shown(live, place)["description"] == "new"


def test_a_password_stays_when_none_is_typed_and_goes_when_told(live, admin):
    name = fresh()
    typed = proxy(name, username="bob", password=secrets.token_urlsafe(9))
    assert admin.send(NEW, **typed).status_code == 303
    path = f"{NEW}/local/{name}/settings"

    kept = admin.send(path, **typed | {"password": "", "offline": "1"})
    moved = admin.send(path, **typed | {"password": "", "url": "http://127.0.0.2:9"})
    gone = admin.send(path, **typed | {"password": "", "forget_password": "1", "username": ""})

    assert (kept.status_code, gone.status_code) == (303, 303)
    assert fault_of(moved, "password")
    assert shown(live, f"local/{name}")["upstream"]["url"] == "http://127.0.0.1:9"


def test_whoever_administers_one_repository_has_no_quota_and_no_end_of_it(live, visitors, team):
    page = visitors["owner"].get(f"{NEW}/{team}").text

    assert "quota_bytes" not in page
    assert f"{team}/delete" not in page
    assert "Administration" not in page
    before = shown(live, team)
    typed = {"kind": "hosted", "visibility": "private", "quota_bytes": "1"}
    assert visitors["owner"].send(f"{NEW}/{team}/settings", **typed).status_code == 303
    assert shown(live, team) == before


def test_a_repository_goes_when_its_name_is_typed_and_with_images_only_by_force(live, admin):
    place = repository(live)
    push_index(live, f"{place}/app")
    path = f"{NEW}/{place}/delete"

    unsure = admin.send(path, confirm="local/other", force="1")
    careful = admin.send(path, confirm=place)
    forced = admin.send(path, confirm=place, force="1")

    assert fault_of(unsure, "confirm")
    assert careful.status_code == 409
    assert forced.status_code == 303
    assert live.client.get(f"/api/v1/repositories/{place}").status_code == 404


def test_roles_are_given_and_taken_away(live, visitors, team):
    somebody = person(live)
    path = f"{NEW}/{team}/grants"

    given = visitors["owner"].send(path, user=somebody.name, role="writer")

    assert given.status_code == 303
    assert somebody.name in visitors["owner"].get(f"{NEW}/{team}").text
    taken = visitors["owner"].send(f"{path}/{somebody.name}/revoke")
    assert taken.status_code == 303
    assert somebody.ask("GET", f"/api/v1/repositories/{team}").status_code == 404


@pytest.mark.parametrize("user", ["", "nobody-at-all", "a/b"])
def test_a_role_for_nobody_is_refused_beside_the_field(visitors, team, user):
    answer = visitors["owner"].send(f"{NEW}/{team}/grants", user=user, role="reader")

    assert fault_of(answer, "user")


@pytest.mark.parametrize("size", [1, 17, GIB, 10 * GIB + 1, (1 << 50) + 3])
def test_a_size_is_the_same_after_it_was_shown_and_typed(size):
    assert round(float(in_gib(size)) * GIB) == size


def test_a_repositorys_page_offers_its_settings_to_who_may_change_them(visitors, team):
    offered = {
        role: f'href="{NEW}/{team}"' in visitors[role].get(f"/r/{team}").text
        for role in ("reader", "owner", "admin")
    }

    assert offered == {"reader": False, "owner": True, "admin": True}
    assert f'href="{NEW}/' not in visitors["anonymous"].get("/r/local/public").text
