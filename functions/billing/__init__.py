"""The billing function and the scheduled sweep."""
