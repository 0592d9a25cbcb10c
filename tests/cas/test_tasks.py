import pytest
import trio

from cas.tasks import background, together


async def test_tasks_end_with_their_block():
    ended = []

    async def serve():
        try:
            await trio.sleep_forever()
        finally:
            ended.append("task")

    async with background(serve):
        await trio.testing.wait_all_tasks_blocked()
        ended.append("block")

    assert ended == ["block", "task"]


async def test_what_a_cancelled_block_began_is_still_served():
    asked, answered = trio.Event(), trio.Event()

    async def serve():
        await asked.wait()
        await trio.lowlevel.checkpoint()
        answered.set()

    with trio.CancelScope() as outside:
        async with background(serve):
            with trio.CancelScope(shield=True):
                outside.cancel()
                asked.set()
                await answered.wait()

    assert answered.is_set()


async def test_an_error_of_a_task_cancels_the_block():
    async def fail():
        raise LookupError

    with pytest.RaisesGroup(LookupError, flatten_subgroups=True):
        async with background(fail):
            await trio.sleep_forever()


async def test_both_run_to_their_ends_and_the_first_error_leaves_ungrouped():
    ended = []

    async def run(name, error):
        ended.append(name)
        raise error

    with pytest.raises(LookupError):
        await together(lambda: run("a", LookupError()), lambda: run("b", ValueError()))

    assert sorted(ended) == ["a", "b"]
