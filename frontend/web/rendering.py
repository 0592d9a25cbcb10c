"""Templates, with what all of them may use. Whatever they show is escaped.

Text that strangers chose (names, tags, descriptions, labels, annotations) goes into `<bdi>`, so
that no mark in it turns around what stands beside it: `{{ text|bdi }}`.
"""

from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from frontend import VERSION
from frontend.web import links, words
from frontend.web.navigation import is_within, navigation
from frontend.web.page import Visit
from frontend.web.statics import static_link

FOLDER: Final = Path(__file__).parent / "templates"


@cache
def environment() -> Environment:
    """The one environment: templates are compiled when they are first shown."""
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {
        "bdi": _isolated,
        "size": words.size_text,
        "count": words.count_text,
        "short": words.short_digest,
        "age": words.age_text,
    }
    made.globals |= {
        "version": VERSION,
        "static": static_link,
        "plural": words.plural,
        "time": words.time_markup,
        "is_web_link": words.is_web_link,
        "links": links,
        "navigation": navigation,
        "is_within": is_within,
    }
    return made


def render(template: str, visit: Visit, **values: Any) -> bytes:  # noqa: ANN401 - templates are untyped
    """A page's bytes."""
    return environment().get_template(template).render(visit=visit, **values).encode()


def _isolated(text: str) -> Markup:
    return Markup("<bdi>{}</bdi>").format(text)
