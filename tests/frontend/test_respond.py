"""`frontend.registry.respond`: who gets which answer, for every route that is a read."""

import pytest

from cas.digest import Digest
from frontend.domain import routes
from frontend.domain.message import Principal
from frontend.registry.respond import is_read
from tests.frontend.world import ADMIN, ANONYMOUS, APP, SECRET, STRANGER, image_bytes

D = Digest.of(b"{}")
PATHS = {
    routes.Blob: f"/blobs/{D}",
    routes.Manifest: "/manifests/v1",
    routes.Tags: "/tags/list",
    routes.Referrers: f"/referrers/{D}",
    routes.Discover: "/_oci/ext/discover",
}
FIXED = {routes.Base: "/v2/", routes.Catalog: "/v2/_catalog"}
NOT_READS = {
    routes.Token: "/v2/token",
    routes.BlobUploads: f"/v2/{APP}/blobs/uploads/",
    routes.BlobUpload: f"/v2/{APP}/blobs/uploads/0",
}
NARROW = Principal("admin", is_admin=True, grants={str(APP): frozenset({"pull"})})
OTHER = Principal("admin", is_admin=True, grants={"local/other/app": frozenset({"pull"})})
TOKEN = Principal(grants={str(APP): frozenset({"pull"}), str(SECRET): frozenset({"pull"})})


@pytest.fixture
async def filled(world):
    for image in (APP, SECRET):
        await world.put_blob(image, b"{}")
        await world.put_manifest(image, image_bytes(), "v1")
    return world


def test_every_route_is_in_one_of_the_tables():
    assert {*PATHS, *FIXED, *NOT_READS} == set(routes.ROUTES)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("route", PATHS, ids=lambda kind: kind.__name__)
async def test_the_table_of_rights(filled, route, method):
    public, private, missing = (
        f"/v2/{name}{PATHS[route]}" for name in (APP, SECRET, "local/none/app")
    )
    empty = 200 if route is routes.Referrers else 404

    def statuses(who):
        return [filled.ask(path, method, who).status for path in (public, private, missing)]

    assert statuses(ANONYMOUS) == [200, 401, 401]
    assert statuses(STRANGER) == [200, 404, 404]
    assert statuses(ADMIN) == [200, 200, empty]
    assert statuses(NARROW) == [200, 401, 401]
    assert statuses(OTHER) == [401, 401, 401]
    assert statuses(TOKEN) == [200, 401, 401]


@pytest.mark.parametrize("route", PATHS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("who", [ANONYMOUS, STRANGER, TOKEN], ids=["anonymous", "eve", "token"])
async def test_private_and_missing_read_the_same(filled, route, who):
    private = filled.ask(f"/v2/local/private/app{PATHS[route]}", who=who)
    missing = filled.ask(f"/v2/local/missing/app{PATHS[route]}", who=who)

    assert private.status == missing.status
    # The token was asked for one of the two names: that is all that may differ.
    same = private.body.replace(b"private", b"missing")
    if who is TOKEN:
        assert b"private" not in private.body
    else:
        assert same == missing.body
        assert {
            name: value.replace("private", "missing") for name, value in private.headers.items()
        } == missing.headers


@pytest.mark.parametrize("path", FIXED.values())
async def test_what_has_no_name_asks_for_an_account(filled, path):
    assert filled.ask(path, who=ANONYMOUS).status == 401
    assert filled.ask(path, who=TOKEN).status == 401
    assert filled.ask(path, who=STRANGER).status == 200


async def test_a_challenge_says_where_to_get_which_token(filled):
    base = filled.ask("/v2/", who=ANONYMOUS)
    pull = filled.ask(f"/v2/{SECRET}/manifests/v1", who=ANONYMOUS)

    assert base.codes == pull.codes == ["UNAUTHORIZED"]
    realm = 'Bearer realm="http://orlop.test/v2/token",service="orlop"'
    assert base.headers["WWW-Authenticate"] == realm
    assert pull.headers["WWW-Authenticate"] == f'{realm},scope="repository:{SECRET}:pull"'


@pytest.mark.parametrize(
    "path", [*FIXED.values(), *(f"/v2/{APP}{path}" for path in PATHS.values())]
)
@pytest.mark.parametrize("who", [ANONYMOUS, ADMIN], ids=["anonymous", "admin"])
async def test_every_answer_has_its_length_and_the_version(filled, path, who):
    got = filled.ask(path, who=who)
    head = filled.ask(path, "HEAD", who=who)

    assert got.headers["Content-Length"] == str(len(got.body))
    assert got.headers["Docker-Distribution-API-Version"] == "registry/2.0"
    assert (head.status, head.headers, head.body) == (got.status, got.headers, b"")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v2/local/public/../private/app/tags/list", 400, "NAME_INVALID"),
        ("/v2/local/public/%2e%2e/tags/list", 400, "NAME_INVALID"),
        ("/v2/local//app/tags/list", 400, "NAME_INVALID"),
        ("/v2/LOCAL/public/app/tags/list", 400, "NAME_INVALID"),
        ("/v2/local/public/a%00b/tags/list", 400, "NAME_INVALID"),
        ("/v2/nginx/tags/list", 404, "NAME_UNKNOWN"),
        (f"/v2/{APP}/manifests/-x", 400, "TAG_INVALID"),
        (f"/v2/{APP}/manifests/a:b", 400, "DIGEST_INVALID"),
        (f"/v2/{APP}/blobs/md5:{'a' * 32}", 400, "DIGEST_INVALID"),
        (f"/v2/{APP}/referrers/latest", 400, "DIGEST_INVALID"),
        (f"/v2/{APP}/nothing", 404, "UNSUPPORTED"),
    ],
)
@pytest.mark.parametrize("who", [ANONYMOUS, ADMIN], ids=["anonymous", "admin"])
async def test_a_bad_path_is_answered_by_its_grammar_alone(filled, path, status, code, who):
    got = filled.ask(path, who=who)

    assert (got.status, got.codes) == (status, [code])


@pytest.mark.parametrize("method", ["POST", "PATCH", "OPTIONS", "TRACE"])
async def test_a_method_that_is_not_there_names_those_that_are(filled, method):
    got = filled.ask(f"/v2/{APP}/tags/list", method)

    assert (got.status, got.codes) == (405, ["UNSUPPORTED"])
    assert got.headers["Allow"] == "GET, HEAD"


async def test_what_is_no_read_is_not_answered_here(filled):
    for path in NOT_READS.values():
        assert not is_read(routes.match(path), "GET")
        assert filled.ask(path).status == 405
    assert not is_read(routes.match(f"/v2/{APP}/manifests/v1"), "DELETE")
    assert filled.ask(f"/v2/{APP}/manifests/v1", "DELETE").status == 405
    assert filled.ask(f"/v2/{APP}/manifests/v1").status == 200
