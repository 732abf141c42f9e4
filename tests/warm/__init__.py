"""Commands in processes that are forked from one that has everything imported: a start of Python, torch, transformers and lm-eval takes
many times as long as most commands that tests run.

`start.command` gives the command line of a small client that behaves as `python -m MODULE ARGUMENT...` does: same streams, folder,
environment, limits and signals, same exit status, and what it runs dies with it. `parent` is the process that forks. What such a process
can't show are its imports and how Python takes itself apart: tests of these, and at least one command of each kind, start Python anew.
"""
