"""What discovery costs, each kind with its real server: `python -m benchmarks.discovery`.

sources.py, containers.py   the servers, and how their backends are changed
backends.py                 who the backends are: ten thousand loopback addresses, one listener
change.py                   from a change at the source to the first connection to the new backend
many.py                     ten thousand backends in one answer, and what a connection notices of it
pingpong.py                 that connection: a process that plays its client and its backend
tables.py                   results as text
"""
