"""`python -m energysim` is the command `energysim`."""

from energysim.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
