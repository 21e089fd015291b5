"""``python -m thrum_edge``."""

from thrum_edge.cli import main

main()
