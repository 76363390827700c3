"""UDP on the same reactor: datagrams of one client address are a session, which has a socket of its own to its backend.

    listener    the front: lets clients in, picks backends, avoids for a moment those that refuse
    receiver    one bound socket: finds the session of each datagram, sends the answers
    session     one client and its backend, until they fall silent or have said enough
    unwrapper   PROXY headers of the datagrams that come in: whose each one is
    oneway      fire-and-forget: one socket a backend, for the datagrams of all clients
    upstream    sockets to backends, with the client's address as their source where that is asked for

A datagram goes epoll -> Receiver.ready -> Session.send, its answer epoll -> Session.ready -> Receiver.reply. Nothing is
queued: what the kernel does not take is lost, as on any network. All sockets are level-triggered, so that a read need
not go on until it fails, and what an event says is only taken for a hint: a stale one does no harm, and sessions may be
made in the midst of a batch of events.
"""
