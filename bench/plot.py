"""Bars as SVG, for each case one bar of each registry."""

from collections.abc import Callable, Mapping
from xml.sax.saxutils import escape

Groups = Mapping[str, Mapping[str, float]]  # case, then registry: a bar

_COLORS = ("#2563a8", "#c2703d", "#5b8c5a", "#8a5a9e", "#777777")
_LABEL, _CHART, _VALUE = 250, 420, 110  # pixels: left of the bars, the longest bar, right of it
_BAR, _GAP, _TOP = 14, 12, 52


def bars(title: str, groups: Groups, show: Callable[[float], str]) -> str:
    """One picture; the longest bar is the greatest value."""
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    color = {name: _COLORS[place % len(_COLORS)] for place, name in enumerate(names)}
    greatest = max((value for group in groups.values() for value in group.values()), default=0)
    body, y = _legend(title, color), _TOP
    for label, group in groups.items():
        middle = y + len(group) * _BAR / 2 + 4
        body.append(_text(_LABEL - 8, middle, label, anchor="end"))
        for name, value in group.items():
            width = _CHART * value / greatest if greatest else 0
            body.append(
                f'<rect x="{_LABEL}" y="{y}" width="{width:.1f}" height="{_BAR - 2}"'
                f' fill="{color[name]}"><title>{escape(name)}: {escape(show(value))}</title></rect>'
            )
            body.append(_text(_LABEL + width + 5, y + _BAR - 4, show(value)))
            y += _BAR
        y += _GAP
    width = _LABEL + _CHART + _VALUE
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}"'
            f' height="{y}" font-family="sans-serif" font-size="11">',
            f'<rect width="{width}" height="{y}" fill="#ffffff"/>',
            *body,
            "</svg>\n",
        ]
    )


def _legend(title: str, color: Mapping[str, str]) -> list[str]:
    body = [f'<text x="8" y="18" font-size="14" font-weight="bold">{escape(title)}</text>']
    x = _LABEL
    for name, fill in color.items():
        body.append(f'<rect x="{x}" y="28" width="10" height="10" fill="{fill}"/>')
        body.append(_text(x + 14, 37, name))
        x += 34 + 7 * len(name)
    return body


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
