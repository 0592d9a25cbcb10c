"""A line of what is measured of our store alone."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """What, its figure, and what it has to be."""

    name: str
    figure: str
    wanted: str = ""
