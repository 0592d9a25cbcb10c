"""Rules of `rules.js`, and going through a page by keyboard."""

from pathlib import Path

from playwright.sync_api import Page

MOST = 500  # steps through one page
_RULES = Path(__file__).with_name("rules.js").read_text(encoding="utf-8")


def broken_rules(page: Page) -> list[str]:
    """What is wrong with a page as it is shown now."""
    return [fault for rule in ("names", "structure", "contrast") for fault in evaluate(page, rule)]


def walk_by_keyboard(page: Page) -> list[str]:
    """Go through a page by Tab; returns what does not show the focus, or is not reached."""
    if evaluate(page, "focused") is not None:
        _walk(page)  # it began in the middle: to the end first
    found = _walk(page)
    faults = [f"{each['told']} does not show the focus" for each in found if not each["isSeen"]]
    wanted = evaluate(page, "reachable")
    if len(found) < wanted:
        faults.append(f"{len(found)} of {wanted} reached")
    return faults


def _walk(page: Page) -> list[dict]:
    found = []
    while len(found) < MOST:
        page.keyboard.press("Tab")
        focused = evaluate(page, "focused")
        if focused is None:
            break
        found.append(focused)
    return found


def evaluate(page: Page, function: str):
    return page.evaluate(f"() => {{ {_RULES} return {function}(); }}")
