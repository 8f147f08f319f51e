"""The models function."""
