"""The figures of the project, measured as ratios within one run: `make bench`, or `python -m tests.bench --help`."""
