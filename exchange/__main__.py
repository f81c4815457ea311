"""`python -m exchange`."""

import sys

from exchange.cli import main

if __name__ == "__main__":
    sys.exit(main())
