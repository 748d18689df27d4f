"""Presets: one experiment a file; each docstring gives the command, the hardware, the time and the expected AP."""
