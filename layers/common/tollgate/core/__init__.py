"""Pure rules: model names, tokens, prices, charges. No clock, no environment, no I/O in here."""
