"""What the process is doing, asked over HTTP while it runs; nothing of it costs anything until somebody asks.

endpoint     the paths, and that one thing is measured at a time
sampling     where the time goes: pyinstrument samples the thread that relays
flamegraph   such a profile as a picture
tasks        what the coroutines of the event loop wait for
memory       what was allocated and is still there: tracemalloc
"""
