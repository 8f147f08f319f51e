"""AWS's services by signed JSON over kept connections: DynamoDB and Secrets Manager."""
