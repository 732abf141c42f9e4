"""The door from text to token ids: the tokenizer, counting, encoding, fitting a length."""
