"""``python -m thrum`` is ``thrum``."""

from thrum.cli import main

main()
