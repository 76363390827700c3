"""What `docker` and `lxd` share: a daemon behind a UNIX socket or TCP, asked through an SDK that is built on requests.

endpoint.py is where the daemon listens. transport.py is put below the SDK: one connection that is kept between
fetches and can be cut off, answers of bounded size, nothing taken from the environment. validated.py checks what the
daemon says of one container. events.py makes "fetch now" of events; these come over aiohttp, in the event loop: waiting
for hours is no work for a thread.
"""
