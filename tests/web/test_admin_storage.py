"""The store and the proxies in the browser: figures, collections, checks, storages."""

import re
import secrets
import time
from contextlib import closing

import pytest

from index.growth import Sample
from tests.frontend.live import running
from tests.frontend.people import person, repository
from tests.web.visitors import Visitor

HERE = "/admin/storage"


@pytest.fixture
def admin(visitors):
    return visitors["admin"]


def test_the_page_says_what_is_stored_and_what_that_saves(live, admin):
    live.push(live.image(), secrets.token_bytes(5000))
    ratio = live.client.get("/api/v1/stats").json()["dedup_ratio"]

    page = admin.get(HERE).text

    assert f"<dd>{ratio:.2f} to 1</dd>" in page
    assert "nothing is known to be damaged" in page


def test_the_page_draws_how_the_store_grew_and_says_it_in_numbers(tmp_path):
    hour, now = 3_600_000, time.time_ns() // 1_000_000
    with running(tmp_path) as live, closing(Visitor(live, person(live, "admin")).client) as admin:
        assert "<polyline" not in admin.get(HERE).text
        live.note_growth(Sample(now - 2 * hour, 0, 0, 0))
        assert "each hour" in admin.get(HERE).text
        live.note_growth(
            Sample(now - hour, 3 << 20, 1 << 20, 2 << 20), Sample(now, 8 << 20, 2 << 20, 5 << 20)
        )

        page = admin.get(HERE).text

    assert '<polyline class="logical" points="0.00,88.00 50.00,58.00 100.00,8.00"/>' in page
    assert '<polyline class="stored" points="0.00,88.00 50.00,78.00 100.00,68.00"/>' in page
    assert re.search(r'<svg role="img" aria-label="From [^"]* from 0 bytes to 8.0 MiB, ', page)
    assert page.count('<tr><th scope="row">20') == 3
    assert '<td data-label="On the disk" class="number">5.0 MiB</td>' in page
    assert " style=" not in page


def test_a_rehearsal_frees_nothing_and_a_run_is_told_and_listed(live, admin):
    def runs():
        return live.client.get("/api/v1/gc").json()["runs"]

    before = len(runs())

    rehearsed = admin.send(f"{HERE}/collect", what="rehearse")
    between = len(runs())
    done = admin.send(f"{HERE}/collect", what="run")

    assert rehearsed.status_code == 200
    assert "A collection now would free" in rehearsed.text
    assert between == before
    assert (done.status_code, done.headers["Location"]) == (303, HERE)
    page = admin.get(HERE).text
    assert "The collection freed" in page
    assert '<td data-label="By">somebody</td>' in page
    assert runs()[0]["is_asked"]


def test_a_check_says_that_all_is_well(admin):
    answer = admin.send(f"{HERE}/check")

    assert answer.status_code == 200
    assert "All is as it must be" in answer.text


def test_a_scrub_is_run_told_and_listed(live, admin):
    live.push(live.image(), secrets.token_bytes(100_000))

    done = admin.send(f"{HERE}/scrub")
    page = admin.get(HERE).text

    assert (done.status_code, done.headers["Location"]) == (303, HERE)
    assert "nothing is damaged" in page
    assert live.client.get("/api/v1/scrub").json()["runs"][0]["is_asked"]


def test_what_is_on_its_way_is_shown(live, admin):
    image = live.image()
    place = live.begin(image)
    live.client.patch(place, content=b"x" * 5000)

    page = admin.get("/admin/transfers").text
    live.client.delete(place)

    assert f"<bdi>{image}</bdi>" in page
    assert "4.9 KiB" in page
    assert image not in admin.get("/admin/transfers").text


def test_storages_are_made_and_deleted(live, admin):
    name = f"s-{secrets.token_hex(3)}"

    made = admin.send("/admin/storages", name=name)
    there = live.client.get(f"/api/v1/storages/{name}").status_code
    deleted = admin.send(f"/admin/storages/{name}/delete")

    assert (made.status_code, there, deleted.status_code) == (303, 200, 303)
    assert live.client.get(f"/api/v1/storages/{name}").status_code == 404


@pytest.mark.parametrize("name", ["", "No Good", "local"])
def test_a_storage_that_cannot_be_is_refused_beside_the_field(admin, name):
    answer = admin.send("/admin/storages", name=name)

    assert answer.status_code >= 400
    assert 'id="f-name-fault"' in answer.text


def test_a_storage_with_repositories_stays_and_says_why(live, admin):
    answer = admin.send("/admin/storages/local/delete")

    assert answer.status_code == 409
    assert "delete these first" in answer.text
    assert live.client.get("/api/v1/storages/local").status_code == 200


def test_proxies_say_how_the_registry_behind_is_doing(live, admin):
    name, hosted = f"x-{secrets.token_hex(3)}", repository(live)
    upstream = {"url": "https://registry.invalid", "offline": True, "username": "bob"}
    body = {"storage": "local", "name": name, "kind": "proxy"}
    made = live.client.post("/api/v1/repositories", json=body | {"upstream": upstream})
    assert made.status_code == 201

    page = admin.get("/admin/proxies").text

    assert f"local/{name}" in page
    assert '<span class="badge warn">offline</span>' in page
    assert "https://registry.invalid" in page
    assert hosted not in page
    assert f'href="/admin/repositories/local/{name}/packages"' in page


def test_proxies_say_what_share_of_reads_was_answered_from_here(live, admin):
    name = f"x-{secrets.token_hex(3)}"
    upstream = {"url": "https://registry.invalid", "offline": True}
    body = {"storage": "local", "name": name, "kind": "proxy", "upstream": upstream}
    assert live.client.post("/api/v1/repositories", json=body).status_code == 201
    number = live.registry.store.read(lambda view: view.repository(f"local/{name}").id)
    before = admin.get("/admin/proxies").text

    for _ in range(3):
        live.registry.figures.counting.hit(number, 5 << 20)
    live.registry.figures.counting.miss(number)
    after = admin.get("/admin/proxies").text

    assert "no reads yet" in before.partition(f"local/{name}")[2]
    assert "75 % of 4 reads" in after.partition(f"local/{name}")[2]
    assert "15.0 MiB" in after.partition(f"local/{name}")[2]
