"""HTTP: the app factory, authentication, the one error table, the metered stream response."""
