"""The fault run: clients and backends that misbehave on purpose, at both ends of the balancer, and both keep books.

script.py says what happens in a connection; client.py plays its one end, many at a time, and backend.py the other.
moving.py is as client.py, and goes after a balancer whose bind changes.
counted.py is the balancer, telling on SIGUSR2 what objects, pipes and fds it holds.
"""
