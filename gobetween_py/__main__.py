"""`python -m gobetween_py` is the command `pygobetween`."""

import sys

from gobetween_py.cli import main

sys.exit(main())
