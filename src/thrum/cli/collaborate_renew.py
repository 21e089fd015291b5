"""``thrum collaborate renew``: a new certificate for one participant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def renew(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The participant, as in project.yml.")
    ],
    kits: Annotated[Path, typer.Option(help="The folder that nvflare provision made: kits/thrum.")],
) -> None:
    """Prepare a new certificate for one participant; the kits of all others stay as they are."""
    from thrum.federation.flare.renewing import forget_certificate

    until = forget_certificate(kits, name)
    typer.echo(
        f"the next `nvflare provision --force` makes a new key and certificate of {name!r}, of the same "
        f"authority; hand out its kit alone. The former one is valid until {until:%Y-%m-%d}"
    )
