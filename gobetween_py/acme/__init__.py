"""Certificates of an ACME authority (RFC 8555) for the hosts in tls.acme_hosts: obtained, kept, renewed.

issuance    when each host gets a certificate, and what happens when it does not; the rest of the program speaks to it
client      one order, from account to certificate; the library `acme`, which blocks, so it runs in a thread
challenges  what proves that a host is ours, while an order runs: http-01 (RFC 8555, 8.3) and tls-alpn-01 (RFC 8737)
endpoint    answers http-01; tls-alpn-01 is answered by proxy/secured.py, on the servers' own ports
store       the account's key and the certificates on disk

An order puts its proof into challenges, the authority fetches it there, and the certificate goes into the store;
tls/security.py is told, and new connections get it.
"""
