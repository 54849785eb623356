"""`python -m medbench` is `medbench`."""

import sys

from medbench.cli import main

sys.exit(main())
