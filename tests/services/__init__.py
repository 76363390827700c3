"""The real servers that tests talk to: installed if missing, started on free loopback ports, stopped by their pid.

process.py    Server: what every server here has in common (start, await, stop, kill, restart, log)
ports.py      free loopback ports, outside the range that outgoing connections use
proc.py       processes as /proc shows them
leaks.py      what a test run must not leave behind, and whether it did
apt.py        a Debian package for a missing command; Unavailable says why a server cannot be had
nginx.py, redis.py, postgres.py, iperf3.py, haproxy.py      what stands behind, or beside, the balancer
consul.py, nsd.py, docker.py, lxd.py, etcd.py               where backends are discovered
pebble.py                                                   an ACME CA

jsonapi.py        the HTTP APIs of those that have one
certificates.py   a CA of the run's own

A server is a context manager: `with Redis() as redis: redis.port`. Over stop() and start() it keeps ports and data.
"""
