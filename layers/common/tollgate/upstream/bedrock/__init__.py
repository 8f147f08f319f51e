"""Amazon Bedrock's Converse and ConverseStream behind the protocol of `upstream.vendors`."""
