"""A hook of MkDocs: a link from the documentation to a file of the checkout becomes that file's name.

The site holds docs/ alone. A link to something that is not in the checkout is a warning: it ends a strict
build.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"\[([^\]]+)\]\((\.\.[^)#\s]*)(#[^)\s]*)?\)")
_LOG = logging.getLogger("mkdocs.hooks.site_links")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return a page's text with the links that leave docs/ replaced."""
    folder = (ROOT / "docs" / page.file.src_uri).parent

    def replace(found: re.Match[str]) -> str:
        target = (folder / found[2]).resolve()
        if target.is_relative_to(ROOT / "docs"):
            return found[0]
        if not target.exists():
            _LOG.warning("%s links to %s, which is not there", page.file.src_uri, found[2])
        name = target.relative_to(ROOT) if target.is_relative_to(ROOT) else target.name
        return f"{found[1]} (`{name}`)"

    return _LINK.sub(replace, markdown)
