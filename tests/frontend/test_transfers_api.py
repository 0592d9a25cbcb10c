"""What the management API tells of uploads and downloads under way."""

from cas.digest import Digest
from cas.verbs import Owner


def listed(live):
    return live.client.get("/api/v1/transfers").json()["items"]


def test_a_push_is_told_of_until_it_ends(live):
    image = live.image()
    place = live.client.post(f"/v2/{image}/blobs/uploads/").headers["Location"]
    live.client.patch(place, content=b"x" * 100_000)

    (found,) = [each for each in listed(live) if each["image"] == image]
    live.client.delete(place)

    assert (found["kind"], found["user"], found["size"]) == ("push", "admin", 100_000)
    assert found["digest"] == ""
    assert 0 <= found["idle_seconds"] < 20
    assert not [each for each in listed(live) if each["image"] == image]


def test_a_download_has_its_digest_and_claims_are_none(live):
    digest = Digest.of(b"not here yet")

    async def stage(key):
        return (await live.registry.store.stage(Owner.of_key(key, "sha256"), key=key))[0]

    uploads = [live.run(stage, key) for key in (f"blob {digest}", "tag of something")]
    try:
        found = [each for each in listed(live) if each["kind"] == "fetch"]
    finally:
        for each in uploads:
            live.run(each.cancel)

    assert [(each["digest"], each["image"]) for each in found] == [(str(digest), "")]
