"""The short suite: the tasks of the paper's Table 1, by lm-eval's own definitions."""
