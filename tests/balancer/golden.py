"""What gobetween 0.8.2 picks, as its own IphashBalancer and Iphash1Balancer (src/balance) printed it for this list."""

from balancer import BackendSpec

BACKENDS = [
    BackendSpec("10.0.0.2", 8080),
    BackendSpec("10.0.0.10", 8080),
    BackendSpec("10.0.0.1", 8080),
    BackendSpec("web.example.com", 80),
    BackendSpec("2001:db8::1", 443),
    BackendSpec("10.0.0.9", 80),
    BackendSpec("10.0.0.9", 8080),
    BackendSpec("Web.example.com", 80),
    BackendSpec("192.168.10.1", 65535),
    BackendSpec("bücher.example", 80),
]

PICKS = [  # client, by iphash, by iphash1
    ("0.0.0.0", "192.168.10.1:65535", "10.0.0.1:8080"),
    ("::ffff:0.0.0.0", "10.0.0.9:80", "10.0.0.2:8080"),
    ("1.2.3.4", "[2001:db8::1]:443", "10.0.0.9:8080"),
    ("::ffff:1.2.3.4", "10.0.0.9:80", "10.0.0.10:8080"),
    ("127.0.0.1", "web.example.com:80", "192.168.10.1:65535"),
    ("::ffff:127.0.0.1", "web.example.com:80", "Web.example.com:80"),
    ("10.0.0.1", "bücher.example:80", "10.0.0.10:8080"),
    ("::ffff:10.0.0.1", "10.0.0.2:8080", "10.0.0.10:8080"),
    ("192.168.1.77", "web.example.com:80", "web.example.com:80"),
    ("::ffff:192.168.1.77", "10.0.0.9:80", "10.0.0.10:8080"),
    ("203.0.113.255", "10.0.0.10:8080", "[2001:db8::1]:443"),
    ("::ffff:203.0.113.255", "bücher.example:80", "[2001:db8::1]:443"),
    ("8.8.8.8", "web.example.com:80", "10.0.0.2:8080"),
    ("::ffff:8.8.8.8", "192.168.10.1:65535", "10.0.0.1:8080"),
    ("::1", "Web.example.com:80", "Web.example.com:80"),
    ("2001:db8::1", "10.0.0.9:8080", "10.0.0.2:8080"),
    ("fe80::1", "bücher.example:80", "bücher.example:80"),
    ("2a00:1450:4001:82a::200e", "bücher.example:80", "10.0.0.1:8080"),
    ("", "10.0.0.1:8080", "10.0.0.9:8080"),
]
