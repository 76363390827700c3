"""Foreign text on its way to the log: what a source says must not look like lines of ours, nor move a terminal."""


def one_line(text: str, most: int) -> str:
    """The text without line ends, its control characters escaped, at most `most` characters of it."""
    line = " ".join(text[: 2 * most].split())
    if not line.isprintable():
        line = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line)
    return line[:most]
