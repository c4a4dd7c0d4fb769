"""Mistakes a user can mend, and how a script reports them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

EXIT_CODE = 2


class UserError(Exception):
    """Something the user can mend: a file, a key, a flag.

    The message is one line that names the culprit, what was expected and what to do. Scripts print it without a
    traceback and leave with exit code 2. Broken internal invariants are not user errors: they raise as they are.
    """


@contextmanager
def reporting() -> Iterator[None]:
    """Print a `UserError` as one line on stderr and exit with code 2; on Ctrl-C exit with 130."""
    try:
        yield
    except UserError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(EXIT_CODE)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
