"""`lxd`: the running containers of an LXD server.

options.py has the keys of the config, trust.py the certificates by which client and server know each other, client.py
asks the server through pylxd (it blocks), containers.py makes backends of what it says of a container (pure), and
kind.py is the Discovery that puts these together and listens to the server's events.
"""
