"""What can go wrong on the way to a certificate."""


class AcmeError(Exception):
    """A certificate could not be had, or not be kept. The message says why, in one line and without secrets."""
