"""What pygobetween costs beside its peers: `python -m benchmarks` (see README.md).

backends/ are the servers behind every proxy, peers/ the proxies (one file each, with its config), load/ the generators
and the parsers of what they print, cases/ what is measured. run.py takes the peers in turn through the cases;
summary.py reduces the samples; report.py, chart.py and the JSON file show them.
"""
