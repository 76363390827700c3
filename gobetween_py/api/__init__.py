"""The REST API: gobetween's paths and JSON, and more.

    endpoint     the site: authentication, CORS, errors, from a request to a Call
    route        what a route is, and what its answer gets: a Call
    routes       the table of all routes
    root, servers, backends, connections, status, certificates    what they do, one module a subject
    auth         who may
    secure       TLS
    body         reading a request's body and query, with limits
    reply        JSON a piece at a time
    openapi      the description of it all, made from the table

A request goes endpoint -> Call -> the route's answer -> reply. It runs on the loop that relays: nothing in it may take
more than a few milliseconds at a time.
"""
