"""lm-eval task plug-ins: one folder a benchmark."""
