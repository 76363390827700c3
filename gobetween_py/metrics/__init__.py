"""Prometheus metrics, read from the counters when they are asked for.

    counted     what the counters do not hold: how long connections lasted, what they carried, why they ended
    lag         how late the event loop is
    families    a running App -> metric families (a prometheus_client collector)
    exposition  metric families -> text, a millisecond at a time
    endpoint    GET /metrics

Nothing here is called per event, but `counted` once at the end of each connection.
"""
