"""From rows on disk to tables, tests and pictures. Begins at the store; never imports torch, transformers or lm-eval."""
