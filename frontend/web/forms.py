"""Forms: what a browser sends of one, and what was wrong with it.

A form's change is proven by its field `csrf`: the token that the management API wants as a header.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import parse_qsl

from frontend.domain.faults import RequestInvalid

CSRF_FIELD: Final = "csrf"
FORM_TYPE: Final = "application/x-www-form-urlencoded"
MAX_FIELDS: Final = 2100  # a page of a thousand selected items has two of each
# Source: msgspec's words for where a value was wrong: "Expected `int` - at `$.a.b`".
_WHERE: Final = re.compile(r"at `\$\.([a-z_.]+)")
_SECRET: Final = "password"  # no field with this in its name is ever shown again  # noqa: S105


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form, as they came; what is absent is empty."""

    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read what browsers send.

        Raises:
            RequestInvalid: it is no form, or has too many fields.
        """
        fields: dict[str, list[str]] = {}
        try:
            text = content.decode("ascii")
            pairs = parse_qsl(
                text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS
            )
        except ValueError:
            raise RequestInvalid("the form is not as expected") from None
        for name, value in pairs:
            fields.setdefault(name, []).append(value.replace("\r\n", "\n"))
        return cls(fields)

    def __getitem__(self, name: str) -> str:
        return self.fields.get(name, ("",))[-1]

    def texts(self, name: str) -> Sequence[str]:
        """All values of a field: of what can be chosen more than once."""
        return self.fields.get(name, ())

    def stripped(self, name: str) -> str:
        """A field without the spaces around it, which people paste along."""
        return self[name].strip()

    def number(self, name: str, unit: int = 1) -> int | None:
        """A whole number, or with a `unit` one that may have a fraction; None: it is empty.

        Raises:
            RequestInvalid: it is no number.
        """
        text = self.stripped(name)
        if not text:
            return None
        try:
            return int(text) if unit == 1 else round(float(text) * unit)
        except (ValueError, OverflowError):
            raise RequestInvalid(f"not a number - at `$.{name}`") from None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the form at the path `action` was refused; `field` is the one at fault, if one is."""

    action: str
    status: int
    text: str
    field: str = ""

    @classmethod
    def of(cls, action: str, status: int, detail: str) -> Self:
        """Say it as the management API does, without the parts that are for programs."""
        where = _WHERE.search(detail)
        said = detail.partition(" - at `")[0].removeprefix("the body is not as expected: ")
        return cls(action, status, said, where[1].rpartition(".")[2] if where else "")


@dataclass(frozen=True, slots=True)
class Typed:
    """One form of a page: what was typed into it and why it was refused, if it was."""

    action: str
    csrf: str
    form: Form = field(default_factory=Form)
    refusal: Refusal | None = None

    def value(self, name: str, otherwise: str = "") -> str:
        """What a field shows: what was typed, and no secret."""
        if self.refusal is None or _SECRET in name:
            return otherwise
        return self.form[name]

    def has(self, name: str, value: str, otherwise: bool = False) -> bool:
        """Whether a choice is made."""
        return otherwise if self.refusal is None else value in self.form.texts(name)

    def fault(self, name: str) -> str:
        """What is wrong with a field."""
        return self.refusal.text if self.refusal is not None and self.refusal.field == name else ""

    def others(self, *names: str) -> str:
        """What is wrong with the form, if it is none of these fields."""
        return "" if self.refusal is None or self.refusal.field in names else self.refusal.text
