"""The verbs about what is in repositories: what they ask for, and what they print."""

import json

NOW = "2026-11-30T02:00:00Z"


def test_packages_are_listed_as_they_are_asked_for(fake, orlop):
    asked = []
    path = "/api/v1/repositories/local/team/packages"
    package = {
        "image": "app/web",
        "tag": "v1",
        "digest": "sha256:a",
        "size": 2048,
        "platforms": ["linux/amd64", "linux/arm64"],
        "pushed_at": NOW,
        "pushed_by": "ann",
        "pulled_at": None,
    }
    fake.lists[path] = [package, package | {"tag": None}]
    page = fake._page
    fake._page = lambda place, query: asked.append(query) or page(place, query)

    out = orlop(
        "package", "list", "local/team", "--image", "app/web", "--query", "a b", "--reverse"
    )

    rest = f"sha256:a\t2048\tlinux/amd64, linux/arm64\t{NOW}\tann\t"
    assert out == (0, f"app/web:v1\t{rest}\napp/web@sha256:a\t{rest}\n", "")
    (query,) = asked
    assert query | {"image": "app/web", "q": "a b", "sort": "name", "order": "desc"} == query


def test_what_was_not_deleted_is_named_and_is_a_failure(fake, orlop):
    answers = [
        {
            "deleted": [{"image": "a", "tag": "v1"}],
            "missing": [{"image": "a", "digest": "sha256:b"}],
            "rejected": [{"image": "a", "tag": "v2", "reason": "it is immutable"}],
        }
    ]
    fake.answers["DELETE", "/api/v1/repositories/local/team/packages"] = lambda _: answers[0]

    code, out, _ = orlop("package", "delete", "local/team", "a:v1", "a@sha256:b", "a:v2")

    said = "deleted a:v1\nmissing a@sha256:b\nrejected a:v2: it is immutable\n"
    assert (code, out) == (1, said)
    assert fake.calls[0][2] == {
        "items": [
            {"image": "a", "tag": "v1"},
            {"image": "a", "digest": "sha256:b"},
            {"image": "a", "tag": "v2"},
        ]
    }


def test_many_packages_are_deleted_in_several_calls(fake, orlop):
    path = "/api/v1/repositories/local/team/packages"
    fake.answers["DELETE", path] = lambda body: {
        "deleted": body["items"],
        "missing": [],
        "rejected": [],
    }
    names = [f"app:{number}" for number in range(250)]

    code, out, _ = orlop("package", "delete", "local/team", *names, "--json")

    assert code == 0
    assert [each["tag"] for each in json.loads(out)["deleted"]] == [str(n) for n in range(250)]
    assert [len(body["items"]) for _, _, body in fake.calls] == [100, 100, 50]


def test_a_search_is_for_all_of_its_terms(fake, orlop):
    asked = []
    found = {"repository": "local/team", "image": "app", "tag": None, "digest": None, "size": None}
    tag = found | {"kind": "tag", "tag": "v1", "digest": "sha256:a", "size": 5, "pushed_at": NOW}
    fake.lists["/api/v1/search"] = [found | {"kind": "image"}, tag]
    page = fake._page
    fake._page = lambda place, query: asked.append(query["q"]) or page(place, query)

    code, out, _ = orlop("search", "app", "tag:v1 &")

    assert (code, asked) == (0, ["app tag:v1 &"])
    lines = ["image\tlocal/team/app\t\t\t", f"tag\tlocal/team/app:v1\tsha256:a\t5\t{NOW}"]
    assert out.splitlines() == lines
