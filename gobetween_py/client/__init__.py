"""Commands for the shell that speak to the API of a balancer that runs: `pygobetween status`, `drain` and so on.

command_line    a row for each command: what it is called by
commands        a row for each command: what it asks, and how the answer is shown
api             one request and its answer; what goes wrong in a sentence
tables          answers as tables for a terminal
"""
