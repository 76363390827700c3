"""Where backends come from.

contract.py says what a kind is; registry.py where each lies (one kind, one file, imported on first use); loop.py
applies interval, timeout, failpolicy and backoff. The data flows source -> kind.fetch/watch -> loop -> the pool.

What kinds share: entry.py, line.py, document.py, json_items.py, yaml_items.py and pattern.py make BackendSpecs of loose
values, lines, structured data and texts; skipped.py tells of bad entries, once; one_line.py makes foreign text fit for
the log; slices.py and blocking.py keep long and blocking work off the relays; http.py and tls.py ask by HTTP, and
program.py asks programs, as health checks do.
"""
