"""How many uploads come in at once."""

from contextlib import ExitStack

import pytest

from frontend.domain.faults import TooManyRequests
from frontend.registry.places import UploadPlaces


def test_an_account_gets_its_share_and_leaves_the_rest_to_others():
    places = UploadPlaces(total=5, share=3)
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(places.place("alice"))
        with pytest.raises(TooManyRequests, match="by one account"), places.place("alice"):
            pass
        for _ in range(2):
            held.enter_context(places.place("bob"))
        with pytest.raises(TooManyRequests, match="uploads at once: try"), places.place("carol"):
            pass

    with places.place("alice"):
        pass


def test_a_place_is_given_back_whatever_happens_and_nothing_is_remembered():
    places = UploadPlaces(total=1, share=1)
    for number in range(100):
        with pytest.raises(ZeroDivisionError), places.place(f"user-{number}"):
            raise ZeroDivisionError
    with places.place("x"), pytest.raises(TooManyRequests), places.place("y"):
        pass

    assert not places._held
