"""The programs, each flags and one call: `python tools/NAME.py`, or `mrcnn NAME` of an installed package."""
