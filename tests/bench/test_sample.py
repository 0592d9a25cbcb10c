import pytest
from hypothesis import given, strategies as st

from bench.sample import (
    Figures,
    Latency,
    Load,
    MeasurementFailed,
    Sample,
    fairness_of,
    percentile,
)


def sample(*, seconds=1.0, operations=100, octets=10**9, cpu=0.5, fairness=None, growth=5):
    load = Load(seconds, operations, octets, Latency(0.001, 0.002, 0.003), fairness)
    return Sample(load, cpu, None if cpu is None else 50, growth, busy=0.2, others=0.1)


def test_percentiles_are_values_by_nearest_rank():
    values = [float(number) for number in range(100, 0, -1)]

    assert Latency.of(values) == Latency(50.0, 95.0, 99.0)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(1, 100))
def test_a_percentile_is_a_value_that_enough_others_do_not_exceed(values, share):
    found = percentile(values, share)

    assert found in values
    assert sum(value <= found for value in values) >= share / 100 * len(values) - 1e-9


def test_no_answers_are_no_percentile():
    with pytest.raises(MeasurementFailed):
        percentile([], 50)


def test_fairness_is_the_slowest_against_the_median():
    assert fairness_of([10, 5, 10, 20]) == 0.5
    assert fairness_of([10]) is None
    assert fairness_of([0, 0, 0]) == 0.0


def test_figures_of_bytes_count_megabytes_and_cpu_for_each_gigabyte():
    figures = Figures.of([sample(), sample(seconds=2.0), sample(seconds=4.0)], "MB/s")

    assert figures.rate == 500.0
    assert figures.cpu == pytest.approx(0.5)


def test_figures_of_operations_count_cpu_for_each_thousand():
    figures = Figures.of([sample()], "requests/s")

    assert (figures.rate, figures.cpu) == (100.0, 5.0)


def test_figures_take_the_worst_of_fairness_and_memory():
    figures = Figures.of([sample(fairness=0.9), sample(fairness=0.4, growth=9)], "MB/s")

    assert (figures.fairness, figures.growth) == (0.4, 9)


def test_an_unknown_process_has_no_cost_but_a_rate():
    figures = Figures.of([sample(cpu=None, growth=None)], "MB/s")

    assert (figures.cpu, figures.peak, figures.growth) == (None, None, None)
    assert figures.rate == 1000.0
