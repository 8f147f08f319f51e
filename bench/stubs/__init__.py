"""What stands around a gateway while it is measured: vendor, database, Lambda's Runtime API.

Each answers at once and does next to nothing, so that what is measured is the gateway.
"""
