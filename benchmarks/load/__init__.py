"""What makes the traffic: ab and redis-benchmark, with the parsing of what they print, and readers of our own."""
