"""An audit as one self-contained page."""

from __future__ import annotations

from pathlib import Path

from thrum import storage
from thrum.privacy.audit.auditing import Audit


def write_page(path: Path, audit: Audit) -> None:
    """Write an audit as HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("thrum.privacy.audit", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    storage.write_text(path, environment.get_template("audit.html.j2").render(audit=audit))
