"""Whether a backend is alive.

contract.py says what a kind of check is; registry.py where each lies (one kind, one file, imported on first use):
ping.py, probe.py, http.py and exec.py. Data flows loop -> kind.check -> condition -> health -> the pool:

    loop        starts each backend's checks at their times, never two of one backend at once
    places      where a check goes
    verdict     counts passes and fails in a row
    ejection    counts the connects that failed (passive checks), and says how long a backend stays away for them
    condition   both of one backend, and what the API and the metrics show of it
    health      judges the backends of one server: tells the pool, logs each change
    slow_start  raises the share of a backend that returns

link.py, tls.py, http_reply.py and discovery/program.py are what kinds talk through; escapes.py reads their texts.
"""
