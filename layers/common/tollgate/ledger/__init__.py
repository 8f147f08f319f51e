"""Balances, holds and usage records: `model` is pure, `store` keeps them in DynamoDB."""
