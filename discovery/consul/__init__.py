"""`consul`: the instances of Consul services, pushed by blocking queries; and the Consul client itself.

options.py   the keys of the config
client.py    py-consul's API over one aiohttp session: several hosts in turn, a Reply for each read
followed.py  blocking queries: Consul's index rules and rate limit; for services here, for keys in key_value.py
entries.py   from the text of a health answer to backends, in slices
acl.py       an empty answer: is there nothing, or may the token not see it?
kind.py      the Discovery that puts these together

The data flows client -> followed -> acl and entries -> kind -> discovery/loop.py.
"""
