"""`python -m tensorgrad`: trains a network on handwritten digits; `--help` says how."""

import sys

from tensorgrad.demo import main

if __name__ == "__main__":
    sys.exit(main())
