"""Text for a person's eyes, on a terminal."""


def plain(text: str) -> str:
    """`text` without what a terminal would obey: it may be a stranger's."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def size_text(count: int) -> str:
    """Bytes for people."""
    size, unit = float(count), 0
    while size >= 1024 and unit < 5:
        size, unit = size / 1024, unit + 1
    name = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")[unit]
    return f"{size:.1f} {name}" if unit else f"{count} bytes"
