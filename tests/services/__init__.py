"""The real servers that tests talk to: installed if missing, started on free loopback ports, stopped by their pid.

What all have in common:
    process.py        Server: start, await, stop, kill, restart, log
    apt.py            a Debian package for a missing command; Unavailable says why a server cannot be had
    ports.py          free loopback ports, outside the range that outgoing connections use
    proc.py, leaks.py processes as /proc shows them; what a test run must not leave behind
    namespaces.py     a network, mounts and processes of its own for a server that changes the machine
    certificates.py   a CA of the test's own
    jsonapi.py        the HTTP APIs of those that have one
    busybox.py        what runs in containers

The servers:
    balancer.py                                         the product itself, as a process
    nginx.py, redis.py, postgres.py, iperf3.py          what stands behind it
    haproxy.py                                          what stands beside it
    consul.py, nsd.py, docker.py, lxd.py, etcd.py       where backends are discovered
    pebble.py                                           an ACME CA
    openssl.py                                          plain TLS
    prometheus.py                                       who scrapes the metrics
    rsyslog.py                                          who takes access logs
    load.py                                             load generators: ab, wrk, redis-benchmark, dnsperf
    dig.py                                              a DNS client
    networks.py                                         a client, a balancer and a backend on a network each

A server is a context manager: `with Redis() as redis: redis.port`. Over stop() and start() it keeps ports and data.
"""
