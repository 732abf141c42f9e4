"""Mutated files of every format that comes from outside, each read by the command that users give it to.

    python -m tests.fuzz --cases 20000          # all formats, figures at the end
    python -m tests.fuzz --show squad/17        # one case: what was read, what was said

A case is (format, number): the same on every machine. `test_fuzz.py` runs the first of them.
"""
