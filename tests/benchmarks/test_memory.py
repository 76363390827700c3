import mmap
import os

from benchmarks.memory import anonymous_bytes, parse_anonymous


def test_only_what_is_no_files_is_counted() -> None:
    text = (
        "55aaf5e3e000-7ffd2d87a000 ---p 00000000 00:00 0                          [rollup]\n"
        "Rss:                1672 kB\n"
        "Private_Dirty:       112 kB\n"
        "Anonymous:           110 kB\n"
        "AnonHugePages:         0 kB\n"
    )
    assert parse_anonymous(text) == 110 * 1024


def test_memory_that_was_touched_shows() -> None:
    size = 8 << 20
    before = anonymous_bytes(os.getpid())
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
        for page in range(0, size, mmap.PAGESIZE):
            area[page] = 1
        assert anonymous_bytes(os.getpid()) - before >= size
