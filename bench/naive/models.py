"""The list of models as it is written first: FastAPI, boto3, one read.

Only its start is measured.
"""

import os
from typing import Any

import boto3
from fastapi import FastAPI
from mangum import Mangum

app = FastAPI(title="naive models")
dynamodb = boto3.client(
    "dynamodb",
    region_name="us-east-1",
    endpoint_url=os.environ["NAIVE_DYNAMODB_URL"],
    aws_access_key_id="local",
    aws_secret_access_key="local",  # noqa: S106 - the stub takes any
)
handler = Mangum(app, lifespan="off")


@app.get("/v1/models")
def list_models() -> dict[str, Any]:
    key = {"pk": {"S": "CATALOG"}, "sk": {"S": "CATALOG"}}
    return {"object": "list", "data": dynamodb.get_item(TableName="bench", Key=key).get("Item", [])}
