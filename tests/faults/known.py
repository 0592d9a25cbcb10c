"""What must exist: the soak's own memory of what was acknowledged, shared by its clients."""

import json
import random
import threading
import time
from dataclasses import dataclass, field

from tests.crash.pusher import KIB, content_of
from tests.faults.register import Deed, Operation
from tests.workers.servers import digest_of

IMAGES = ("local/images/a", "local/images/b", "local/images/c")
TAGS = ("one", "two", "three")
TYPE = "application/vnd.oci.image.manifest.v1+json"
# Seconds after which a request whose answer was lost cannot be done any more: nobody who could do
# it lives, or has it waiting.
LATE = 3.0
# Inline, appended, and cut into many chunks. A third of each is shared by all of a size.
SIZES = (40, 5 * KIB, 70 * KIB, 300 * KIB, 1200 * KIB)
LAYERS = {
    digest_of(content): content
    for size in SIZES
    for content in (content_of(size, f"soak {number}") for number in range(5))
}


@dataclass(eq=False)
class Manifest:
    """One that some client pushed. No two pushes make the same one."""

    image: str
    content: bytes
    layers: tuple[str, ...]
    digest: str = ""
    is_there: bool = False  # acknowledged
    is_going: bool = False  # somebody began to delete it
    is_gone: bool = False  # that was acknowledged
    users: int = 0  # clients that tag it just now; it is not deleted meanwhile

    def __post_init__(self) -> None:
        self.digest = digest_of(self.content)


@dataclass
class Known:
    """All manifests, and the history of each tag."""

    manifests: list[Manifest] = field(default_factory=list)
    histories: dict[tuple[str, str], list[Operation]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    is_disk_bad: bool = False  # else nothing may ever be damaged
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def note(self, place: tuple[str, str], begin: float, deed: Deed, *, is_lost: bool = False):
        """An operation on a tag that began at `begin` and ends now."""
        end = time.monotonic() + (LATE if is_lost else 0)
        with self.lock:
            self.histories.setdefault(place, []).append(Operation(begin, end, deed, is_lost))

    def make(self, dice: random.Random, name: str) -> Manifest:
        """A manifest of a few layers; `name` makes it unlike all others."""
        layers = tuple(dice.sample(sorted(LAYERS), dice.randint(1, 4)))
        descriptors = [
            {"mediaType": "application/octet-stream", "digest": each, "size": len(LAYERS[each])}
            for each in layers
        ]
        content = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": TYPE,
                "config": descriptors[0],
                "layers": descriptors,
                "annotations": {"name": name},
            }
        ).encode()
        made = Manifest(dice.choice(IMAGES), content, layers)
        with self.lock:
            self.manifests.append(made)
        return made

    def choose(self, dice: random.Random) -> Manifest | None:
        """One that is there, or None; mostly of the last ones."""
        with self.lock:
            found = [each for each in self.manifests[-60:] if each.is_there and not each.is_going]
        return dice.choice(found) if found else None

    def use(self, manifest: Manifest) -> bool:
        """Keep it from being deleted; False: somebody is at it."""
        with self.lock:
            manifest.users += not manifest.is_going
            return not manifest.is_going

    def let_go(self, manifest: Manifest) -> None:
        with self.lock:
            manifest.users -= 1

    def doom(self, manifest: Manifest) -> bool:
        """Claim it for deletion; False: it is in use, or another's."""
        with self.lock:
            if manifest.users or manifest.is_going:
                return False
            manifest.is_going = True
            return True

    def gone(self, dice: random.Random) -> Manifest | None:
        """One that must not be there any more, or None."""
        with self.lock:
            found = [each for each in self.manifests if each.is_gone]
        return dice.choice(found) if found else None

    def live(self) -> list[Manifest]:
        """Those that must be there."""
        with self.lock:
            return [each for each in self.manifests if each.is_there and not each.is_going]
