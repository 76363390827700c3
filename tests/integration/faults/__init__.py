"""The fault run: clients and backends that misbehave on purpose, at both ends of the balancer, and both keep books.

script.py says what happens in a connection; client.py plays its one end, many at a time, and backend.py the other.
counted.py is the balancer, telling on SIGUSR2 what objects, pipes and fds it holds.
"""
