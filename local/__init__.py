"""The gateway on one machine: API Gateway, Lambda, DynamoDB Local and a demo upstream."""
