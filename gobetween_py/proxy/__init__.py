"""The data plane: moves bytes between a client and the backend picked for it.

    reactor     one edge-triggered epoll nested in the event loop: fd -> the method that handles its events
    front       what every server has at its front: access rules, limits, who is told of what
    settings    what a server asks of its connections
    flow        a connection or session as logs, metrics and the API see it
    listener    the front for streams: makes a Connection of each client
    acceptor    accepts on one of its sockets
    connection  one client from accept to close: connect to a backend, try another, relay, time out
    staged      a Connection with more to do before it relays: PROXY headers, in and out, and the ClientHello
    relay       one direction of a connection: recv/send for little, splice for much, half-close, reset
    secured     a connection with TLS on one side or both: the handshakes
    termination, origination    what it does towards the client, and towards the backend
    tls         one direction of such a connection
    source      the address that backends see
    pipes       the pipes that splice needs, kept for the next one
    sockets     the C-level sockets that all of this works on
    wheel       coarse timers: a connection sits in the slot of its next deadline
    anywhere    what sockets get that are bound to all addresses
    access      allow and deny rules by client address
    udp/        datagrams: sessions by client address, fire-and-forget

    proxy_protocol, client_hello, introduction    what `staged` reads and writes, as bytes

A byte goes epoll -> Reactor.turn -> Half.ready -> send. Nothing here reads config, or knows of the API or of metrics:
what it needs comes in as `Settings`, a `Pool` and a `Counters`; what it tells goes out through the counters.
"""
