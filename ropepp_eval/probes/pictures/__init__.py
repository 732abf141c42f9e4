"""Pictures of probes, one file a kind: each from the probe's numbers, with the paper's layout where it has such a figure."""
