"""The balancer on its own; `pools` makes ready pools, `test_every_algorithm` holds what is true of all of them."""
