"""The geometry of the plot of growth."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from frontend.web.plot import HEIGHT, POINTS, TICKS, TOP, Point, plot, reduced, scale
from frontend.web.words import size_text

HOUR, DAY = 3600, 86400
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()
SIZES = st.one_of(st.just(0), st.integers(0, 1 << 12), st.integers(0, 1 << 62))
SAMPLES = st.lists(
    st.builds(Point, st.integers(0, 1 << 32).map(float), SIZES, SIZES, SIZES),
    max_size=150,
    unique_by=lambda each: each.at,
).map(lambda samples: sorted(samples, key=lambda each: each.at))


def hourly(*sizes: int, every: float = HOUR) -> list[Point]:
    """`sizes` stored, and twice as much pushed, until now."""
    begin = NOW - every * (len(sizes) - 1)
    return [Point(begin + at * every, 2 * size, size, 3 * size) for at, size in enumerate(sizes)]


def places(line: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (each.split(",") for each in line.split())]


@pytest.mark.parametrize("samples", [[], hourly(5), [hourly(5)[0], hourly(7)[0]]])
def test_it_takes_two_times_to_draw_a_line(samples):
    assert plot(samples) is None


def test_a_line_goes_from_left_to_right_and_what_is_more_is_higher():
    drawn = plot(hourly(0, 1 << 30, 2 << 30))

    assert places(drawn.stored) == [
        (0, TOP + HEIGHT),
        (50, TOP + HEIGHT * 3 / 4),
        (100, TOP + HEIGHT / 2),
    ]
    assert places(drawn.logical) == [(0, TOP + HEIGHT), (50, TOP + HEIGHT / 2), (100, TOP)]
    assert [tick.label for tick in drawn.sizes] == [
        "0 bytes",
        "1.0 GiB",
        "2.0 GiB",
        "3.0 GiB",
        "4.0 GiB",
    ]
    assert [tick.place for tick in drawn.sizes] == [88, 68, 48, 28, 8]


@pytest.mark.parametrize("size", [0, 1, 1000, (1 << 60) - 1, 1 << 60, (1 << 60) + 1])
def test_a_size_that_never_changes_is_a_level_line_in_the_drawing(size):
    drawn = plot([Point(NOW - HOUR, size, size, size), Point(NOW, size, size, size)])

    (_, left), (_, right) = places(drawn.stored)
    assert left == right
    assert TOP <= left <= TOP + HEIGHT
    assert (left == TOP + HEIGHT) == (size == 0)
    assert len({tick.label for tick in drawn.sizes}) == len(drawn.sizes)


@given(SAMPLES)
def test_no_place_is_outside_of_the_drawing(samples):
    drawn = plot(samples)

    if drawn is None:
        assert len(samples) < 2
        return
    for line in (drawn.logical, drawn.stored):
        found = places(line)
        assert [x for x, _ in found] == sorted(x for x, _ in found)
        assert (found[0][0], found[-1][0]) == (0, 100)
        assert all(TOP <= y <= TOP + HEIGHT for _, y in found)
        assert len(found) == len(drawn.points) <= POINTS


@given(st.integers(0, 1 << 63))
def test_ticks_are_few_reach_the_greatest_and_say_exactly_where_they_are(most):
    step, count = scale(most)

    assert 1 <= count <= TICKS
    assert step * count >= most
    assert step == 1 or step * count - most < step
    if step >= 1024:
        unit = 1 << (step.bit_length() - 1) // 10 * 10
        label = size_text(step * count)
        assert float(label.split()[0]) in (step * count / unit, step * count / unit / 1024)


@given(SAMPLES)
def test_few_points_stand_for_many_and_the_ends_are_real(samples):
    points = reduced(samples)

    assert len(points) <= POINTS
    assert set(points) <= set(samples)
    assert [points[at] for at in (0, -1) if points] == [samples[at] for at in (0, -1) if samples]
    assert len(points) >= min(2, len(samples))


def test_samples_that_are_far_enough_apart_are_all_drawn():
    samples = hourly(*range(48))

    assert reduced(samples) == samples


def test_of_samples_close_together_the_last_is_drawn():
    samples = hourly(*range(10 * POINTS))

    points = reduced(samples)

    assert len(points) == POINTS
    assert (points[0], points[-1]) == (samples[0], samples[-1])


@pytest.mark.parametrize(
    ("every", "labels"),
    [
        (12 * HOUR, ["29 Nov 12:00", "30 Nov 00:00", "30 Nov 12:00"]),
        (365 * DAY, ["2024-11-30", "2025-11-30", "2026-11-30"]),
    ],
)
def test_times_are_as_fine_as_the_plot_is_long(every, labels):
    drawn = plot(hourly(1, 2, 3, every=every))

    assert [tick.label for tick in drawn.times] == labels
    assert [tick.place for tick in drawn.times] == [0, 50, 100]


def test_the_figures_are_said_in_words():
    drawn = plot(hourly(1 << 20, 9 << 20, 3 << 20))

    assert drawn.words == (
        "From 2026-11-30 10:00 to 2026-11-30 12:00 UTC what was pushed went from 2.0 MiB to"
        " 6.0 MiB, and what is stored from 1.0 MiB to 3.0 MiB."
    )
