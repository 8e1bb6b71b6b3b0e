"""What the page shows, as a script in the browser sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from selenium.webdriver.remote.webdriver import WebDriver

_PICTURES = "return Object.fromEntries([...tiles.values()].map(tile => [tile.name, tile.canvas.toDataURL()]))"
_DIFFERENT = 3


def pictures_change(browser: WebDriver, cameras: Sequence[str]) -> Callable[[], bool]:
    """To be asked again and again: whether every camera has shown some different pictures by now."""
    seen: dict[str, set[str]] = {name: set() for name in cameras}

    def all_have_changed() -> bool:
        for name, picture in browser.execute_script(_PICTURES).items():
            seen[name].add(picture)
        return all(len(pictures) >= _DIFFERENT for pictures in seen.values())

    return all_have_changed


def health(browser: WebDriver, part: str) -> str:
    """The value of a part in the strip; empty: it is not shown."""
    script = "return document.querySelector(`#health [data-part=${arguments[0]}] .value`)?.textContent ?? ''"
    return str(browser.execute_script(script, part))
