"""Lists for a person, for a program that reads lines, and as JSON."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from frontend.commands.common import write
from frontend.words import plain, size_text


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its title, and the item's field, or what makes its value of the item."""

    title: str
    field: str | Callable[[Mapping[str, Any]], object]
    is_size: bool = False  # bytes

    def of(self, item: Mapping[str, Any]) -> object:
        """The value in its row."""
        return item.get(self.field) if isinstance(self.field, str) else self.field(item)


def show_items(
    items: Sequence[Mapping[str, Any]], columns: Sequence[Column], *, as_json: bool
) -> None:
    """Print a list: a table on a terminal; else lines of cells with tabs between, or JSON."""
    if as_json:
        write(json.dumps(items, indent=2))
    elif sys.stdout.isatty():
        _show_table(items, columns)
    else:
        write("\n".join(row_text(each, columns) for each in items))


def row_text(item: Mapping[str, Any], columns: Sequence[Column]) -> str:
    """One item as a line of cells."""
    return "\t".join(_text(column.of(item)) for column in columns)


def show_fields(item: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one thing, a field a line."""
    if as_json:
        write(json.dumps(item, indent=2))
        return
    lines = [(name.replace("_", " "), _text(value)) for name, value in _flat(item)]
    widest = max((len(name) for name, _ in lines), default=0)
    gap = f"<{widest + 2}" if sys.stdout.isatty() else ""
    mark = "" if sys.stdout.isatty() else "\t"
    write("\n".join(f"{name:{gap}}{mark}{text}" for name, text in lines))


def _flat(item: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Fields, and those of what has fields itself under both names."""
    for name, value in item.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", value


def _show_table(items: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column.title.upper(), justify="right" if column.is_size else "left", overflow="fold"
        )
    for each in items:
        table.add_row(*(Text(_pretty(each, column)) for column in columns))
    Console().print(table)


def _pretty(item: Mapping[str, Any], column: Column) -> str:
    value = column.of(item)
    if column.is_size and isinstance(value, int):
        return size_text(value)
    return _text(value) or "-"


def _text(value: object) -> str:
    """A cell. What strangers wrote may neither add cells nor move the cursor."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(_text(each) for each in value)
        case dict():
            return " ".join(f"{name}={_text(each)}" for name, each in value.items())
        case _:
            return plain(str(value))
