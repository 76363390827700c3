"""The access log: a line for each connection at its end, which no relay ever waits for.

    line     one server's log: an ended connection -> facts, and those -> a line of text
    writer   collects facts, and hands lines of many of them to a thread of its own; drops and counts what is too much
    output   where the thread writes: a file, a standard stream, syslog

The data plane calls `line` once per connection; everything that can block is in the thread. So a slow disk costs
lines, which are counted, and never a byte's delay.
"""

from gobetween_py.access_log.line import AccessLog
from gobetween_py.access_log.writer import OutputError, Writer, Writers

__all__ = ["AccessLog", "OutputError", "Writer", "Writers"]
