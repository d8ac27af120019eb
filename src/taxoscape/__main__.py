"""``python -m taxoscape`` is the command line."""

from taxoscape.cli import main

main()
