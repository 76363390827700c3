"""`docker`: the containers of a Docker engine.

options.py has the keys of the config, client.py asks the engine through the docker SDK (it blocks), containers.py
makes backends of what the engine says of a container (pure), and kind.py is the Discovery that puts these together
and listens to the engine's events.
"""
