"""Calls to the vendors that answer: SSE parsing, channels in order, one pooled HTTP client."""
