"""The commands, a module for each kind; `cli.py` lists them."""
