"""A stub resolver: what `srv` and `dns` ask name servers with.

A question goes from Resolver (which servers, which names, CNAMEs) to NameServer (one server, UDP and TCP), and
read_reply makes records of the bytes that come back. dnspython brings names, the primitives of the wire and the
reading of resolv.conf. Replies are read here, record by record: dnspython's own reader holds the event loop for 60 us
a record, 36 ms for an answer of 600, and the relay with it.
"""
