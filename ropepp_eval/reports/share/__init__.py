"""Results in the forms of other tools: inspect's logs, every-eval-ever's records, lm-eval's files, Parquet, a model card."""
