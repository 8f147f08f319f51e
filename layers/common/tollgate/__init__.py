"""Tollgate: a metered, OpenAI-compatible gateway; the layer that all functions share."""
