"""What the machines share: an index whose writes are never synced, checked by the real fsck."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

from hypothesis.stateful import RuleBasedStateMachine

from cas import layout
from cas.checks import fsck
from index.environment import open_environment


class IndexMachine(RuleBasedStateMachine):
    """One write transaction an example, never committed; each commit is a child of it.

    That is what the writer does, without a sync. `view` sees everything done so far.
    """

    def __init__(self):
        super().__init__()
        self.stack = ExitStack()
        self.root = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        for folder in (layout.PACKS, layout.UPLOADS):
            (self.root / folder).mkdir()
        environment = self.stack.enter_context(open_environment(self.root / layout.INDEX))
        self._environment = environment
        self._raw = environment.begin()
        self.stack.callback(self._raw.abort)
        self.view = environment.transaction(self._raw)

    def teardown(self):
        self.stack.close()

    def write(self, run):
        with self._environment.child(self._raw) as child:
            return run(self._environment.transaction(child))

    def read(self, look):
        """As an environment has it, for fsck."""
        return look(self.view)

    def drift(self):
        return fsck.run(self, self.root).drift
