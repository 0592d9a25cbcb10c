"""What a search can get wrong; as `frontend.domain.faults`."""

from dataclasses import dataclass

from frontend.domain.faults import FrontendFault

_SHOWN = 400  # characters, of what a stranger's text may make long


@dataclass(eq=False)
class SearchInvalid(FrontendFault):
    """What was searched for cannot be read; `what` says why."""

    what: str

    def __str__(self) -> str:
        return f"the search cannot be read: {self.what[:_SHOWN]}"


@dataclass(eq=False)
class SearchTooBroad(FrontendFault):
    """The search took more time than one may."""

    limit: float  # seconds

    def __str__(self) -> str:
        return (
            f"the search was not done after {self.limit:g} seconds: narrow it by repository: or "
            "storage:, or ask for more of a name"
        )


class SearchAbandoned(FrontendFault):
    """Whoever searched has left; only one who still reads will see this."""

    def __str__(self) -> str:
        return "the connection was closed for sending before the search was done"
