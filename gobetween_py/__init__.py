"""pygobetween, the running balancer: commands (cli.py), wiring (app.py), config/ and the data plane (proxy/)."""

__version__ = "0.1.0"
