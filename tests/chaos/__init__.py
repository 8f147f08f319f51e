"""Random faults of three vendors against the real use case: what each client sees, and money."""
