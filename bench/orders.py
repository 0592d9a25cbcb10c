"""What orders of packages cost: a push with and without them, a million tags, their pages.

    python -m bench.orders [--tags 1000000]

In a temporary directory, in one process, and without a sync where the work of the processor is
meant.
"""

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from index import keys, names, ordering, upgrade
from index.apply import Commit, apply
from index.changes import (
    CreateStorage,
    EdgeKind,
    ImageName,
    Link,
    PutManifest,
    PutObject,
    PutRepository,
    SetTag,
)
from index.environment import Environment, open_environment
from index.ledger import Clock
from index.listed import Figures, Unlisted, entry_of
from index.names import Order
from index.packages import Selection, list_packages
from index.records import Manifest, Repository
from index.transaction import Transaction
from index.view import View

LAYERS = 5
IMAGES = 1000
CLOCK = Clock(1_700_000_000, 3600)
PLACES = (CreateStorage("local"), PutRepository("local/images", Repository()))


def digest_of(number: int) -> bytes:
    """A digest that stands for some content, as random as one."""
    return b"\1" + hashlib.sha256(str(number).encode()).digest()


def push(number: int) -> list:
    """The changes of a small image with one tag, and with layers of its own."""
    image = ImageName("local/images", f"team-{number % 37}/image-{number % IMAGES:04d}")
    digests = [digest_of(number * 16 + each) for each in range(LAYERS + 1)]
    edges = tuple((each, EdgeKind.LAYER) for each in digests[1:])
    return [
        *(PutObject(each, b"x" * 1000) for each in digests),
        *(Link(image, each) for each in digests),
        PutManifest(image, digests[0], Manifest(media_type="m" * 60, size=1000), edges),
        SetTag(image, f"v{number % 9}.{number}", digests[0]),
    ]


def run_pushes(environment: Environment, first: int, count: int, *, is_listed: bool) -> float:
    """Seconds of the processor for `count` operations of one commit; only the tag's part of it."""
    spent = 0.0
    with environment.begin() as raw:
        for number in range(first, first + count):
            changes = push(number)
            before = time.process_time()
            with environment.child(raw) as child:
                transaction = environment.transaction(child)
                commit = Commit(transaction, CLOCK, None if is_listed else Unlisted(transaction))
                for change in changes:
                    commit.apply(change)
                commit.ledger.settle()
            spent += time.process_time() - before
    return spent


def compare_pushes(count: int = 2000, rounds: int = 5) -> None:
    """The same pushes with and without orders, alternately."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(rounds):
        for is_listed, found in seconds.items():
            with tempfile.TemporaryDirectory() as folder, open_environment(Path(folder)) as index:
                index.write(lambda t: apply(t, PLACES, (), CLOCK))
                run_pushes(index, 0, 4000, is_listed=is_listed)  # a repository that has some
                found.append(run_pushes(index, 4000, count, is_listed=is_listed))
    listed, unlisted = min(seconds[True]), min(seconds[False])
    sys.stdout.write(
        f"a push of {LAYERS} layers and a tag: {1e6 * unlisted / count:.0f} µs without orders, "
        f"{1e6 * listed / count:.0f} with them: {listed / unlisted:.2f}\n"
    )


def compare_commits(count: int = 300) -> None:
    """One push after the other, each a commit with its sync: what a lone client waits for."""
    milliseconds = {}
    for is_listed in (True, False, True, False):
        with (
            tempfile.TemporaryDirectory(dir=".") as folder,
            open_environment(Path(folder)) as index,
        ):
            index.write(lambda t: apply(t, PLACES, (), CLOCK))
            run_pushes(index, 0, 4000, is_listed=is_listed)
            before, pages = time.perf_counter(), _written()
            for number in range(count):
                run_pushes(index, 4000 + number, 1, is_listed=is_listed)
            spent = 1000 * (time.perf_counter() - before) / count
            least = min(spent, milliseconds.get(is_listed, (spent,))[0])
            milliseconds[is_listed] = least, (_written() - pages) / 4096 / count
    for is_listed, (spent, pages) in milliseconds.items():
        said = "with" if is_listed else "without"
        sys.stdout.write(f"a commit {said} orders: {spent:.2f} ms, {pages:.0f} pages\n")


def _written() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["wchar"])


def fill_orders(transaction: Transaction, tags: int) -> None:
    """Orders of `tags` tags in images, without any other row."""
    random = Random(1)  # noqa: S311 - sizes of nothing
    found: dict[Order, list[bytes]] = {order: [] for order in Order}
    for number in range(tags):
        image = keys.u32(1) + keys.u32(1 + number % IMAGES)
        path = f"team-{number % 37}/image-{number % IMAGES:04d}"
        line = f"v{number % 9}.{number}".encode()
        figures = Figures(1_700_000_000 + number * 30, random.randrange(1 << 30))
        for order, entries in found.items():
            entries.append(entry_of(order, path, image, line, figures))
    for number in range(IMAGES):
        path = f"team-{number % 37}/image-{number:04d}"
        transaction.put("image_by_id", keys.u32(1) + keys.u32(1 + number), path.encode())
    for order, entries in found.items():
        ordering.fill(transaction, names.prefix(1, order), sorted(entries))


def measure_pages(tags: int) -> None:
    """Bytes and pages of `tags` tags."""
    with tempfile.TemporaryDirectory() as folder, open_environment(Path(folder)) as index:
        index.write(partial(fill_orders, tags=tags))
        for order in Order:
            sizes = index.read(
                lambda v: [len(b) for _, b in v.scan(names.TABLE, names.prefix(1, order))]  # noqa: B023 - run at once
            )
            sys.stdout.write(
                f"{order.name.lower()}: {len(sizes)} blocks, {sum(sizes) / (1 << 20):.1f} MiB, "
                f"{4096 * len(sizes) / (1 << 20):.1f} with what is empty\n"
            )
        last = tags - 100
        for said, selection, start in (
            ("first page by name", Selection(), 0),
            ("last page by name", Selection(), last),
            ("last page by time", Selection(Order.PUSHED), last),
            ("first page by size, largest first", Selection(Order.SIZE, True), 0),
            ("first page of an image by name", Selection(image="team-0/image-0000"), 0),
            ("of an image by time", Selection(Order.PUSHED, True, "team-0/image-0000"), 0),
            ("by name with a text that few have", Selection(contains="v3.77777"), 0),
            ("by time with a text that many have", Selection(Order.PUSHED, contains="v3"), 0),
        ):
            look = partial(list_packages, repository=1, selection=selection)
            steps, spent = _timed(index, partial(_page, look=look, start=start))
            sys.stdout.write(f"{said}: {steps} steps, {spent:.1f} ms\n")


def _page(view: View, look: Callable, start: int) -> int:
    look(view, start=start, stop=start + 100)
    return view.steps


def _timed(index: Environment, look: Callable) -> tuple[int, float]:
    spent = []
    for _ in range(5):
        before = time.process_time()
        steps = index.read(look)
        spent.append(1000 * (time.process_time() - before))
    return steps, sorted(spent)[2]


def measure_upgrade(tags: int) -> None:
    """The step from format 2, of as many small images as there are tags."""
    with tempfile.TemporaryDirectory() as folder, open_environment(Path(folder)) as index:
        index.write(lambda t: apply(t, PLACES, (), CLOCK))
        for first in range(0, tags, 2000):
            run_pushes(index, first, 2000, is_listed=False)
        before = time.process_time()
        index.write(upgrade.STEPS[2])
        sys.stdout.write(f"upgrade of {tags} tags: {time.process_time() - before:.1f} s\n")


def main() -> None:
    """Print it all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tags", type=int, default=1_000_000)
    tags = parser.parse_args().tags
    compare_pushes()
    compare_commits()
    measure_pages(tags)
    measure_upgrade(tags // 10)


if __name__ == "__main__":
    main()
