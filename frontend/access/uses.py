"""When tokens were last used: every request that one of them lets in counts, however it came.

A short-lived token counts as the one that it was made by.
"""

from cas.verbs import View
from frontend.access.tokens import ROWS, TABLE, used_key
from frontend.domain.message import Principal
from frontend.touches import Touches
from index.changes import Touch


def new_uses() -> Touches[str]:
    """Keys are ids of tokens."""
    return Touches(_find)


def tokens_of(principal: Principal) -> tuple[str, ...]:
    """The ids of the tokens that proved a principal: none, or one."""
    rows = (each.key for each in principal.evidence if each.table == TABLE)
    return tuple(key.removeprefix(b"i").decode() for key in rows)


def _find(_: View, key: str, at: int) -> Touch:
    # A token that was revoked meanwhile has no row, and gets no time: see `index.touching`.
    return Touch(TABLE, used_key(key), ROWS.row_key(key), at)
