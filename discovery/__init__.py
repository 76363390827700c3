"""Where backends come from.

contract.py says what a kind is; registry.py where each lies (one kind, one file, imported on first use); loop.py
applies interval, timeout, failpolicy and backoff. The data flows source -> kind.fetch/watch -> loop -> the pool.
entry.py, line.py, skipped.py and slices.py are what kinds share: from loose values or lines to a BackendSpec, bad
entries left out, long work in slices.
"""
