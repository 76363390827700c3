"""Folders mirror the packages; `integration/` runs the real program against the real servers of `services/`."""
