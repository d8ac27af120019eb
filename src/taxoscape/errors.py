"""The errors that taxoscape raises on purpose.

One family, so that a caller can catch all of them at once and the command line can tell a caller's mistake
(exit code 2, one line) from a fault of ours (exit code 1). A message says what is wrong, where (file, date,
tile), and which argument or command mends it.
"""

from __future__ import annotations


class TaxoscapeError(Exception):
    """Base of all errors that taxoscape raises on purpose."""


class InputError(TaxoscapeError, ValueError):
    """Something the caller gave cannot be used: a file, a setting, an array, a combination of them."""


class RunFolderError(TaxoscapeError):
    """A run folder is not in the state that a command needs: locked, of other settings, incomplete."""
