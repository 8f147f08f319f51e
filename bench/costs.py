"""What a million chat requests cost on AWS, against a container that is always on.

On paper: prices times quantities, no account is asked. docs/operations.md#what-it-costs has the
table and what it means. Free tiers, taxes and the traffic to the internet, which costs both the
same, are not in it. Sources: AWS's price pages of Lambda, API Gateway, DynamoDB, CloudWatch,
X-Ray, Fargate and Elastic Load Balancing, us-east-1, first tier, looked up on 2026-11-24.
"""

from bench.ledger_scale import READ_UNIT_MILLION, WRITE_UNIT_MILLION

# Dollars.
API_MILLION = 3.50  # REST, first 333 million a month; a streamed answer counts once per 10 MB
LAMBDA_MILLION = 0.20
GB_SECOND = {"x86_64": 0.0000166667, "arm64": 0.0000133334}
LOG_GB = 0.50
TRACE_MILLION = 5.00
FARGATE_CPU_HOUR, FARGATE_GB_HOUR = 0.04048, 0.004445
BALANCER_HOUR, BALANCER_UNIT_HOUR = 0.0225, 0.008
ADDRESS_HOUR = 0.005  # a public IPv4 address

HOURS = 730  # of a month
WRITE_UNITS, READ_UNITS = 6, 0.5  # a request of an account with few at once: docs/ledger.md#scale
LOG_BYTES = 2500  # Lambda's own lines, the request's, its metrics, the access log
STREAMS_S = (1, 10, 60)
MEMORIES_MB = (512, 1024)
TRACED = (
    1.0  # at most: X-Ray's default rule takes the first request of a second, then one in twenty
)
# Two small tasks, for two zones, behind a load balancer: what one keeps for a service with keys.
TASKS, TASK_CPU, TASK_GB, ADDRESSES = 2, 0.5, 1.0, 4


def per_request_million() -> dict[str, float]:
    """Return the dollars of a million requests that do not depend on how long they take."""
    return {
        "API Gateway": API_MILLION,
        "Lambda, calls": LAMBDA_MILLION,
        "DynamoDB": WRITE_UNITS * WRITE_UNIT_MILLION + READ_UNITS * READ_UNIT_MILLION,
        "logs": LOG_BYTES * 1e6 / 1e9 * LOG_GB,
        "traces": TRACED * TRACE_MILLION,
    }


def duration_million(stream_s: float, memory_mb: int, architecture: str) -> float:
    """Return the dollars of a million streams' time."""
    return 1e6 * stream_s * memory_mb / 1024 * GB_SECOND[architecture]


def million(stream_s: float, memory_mb: int, architecture: str) -> float:
    """Return the dollars of a million requests."""
    return sum(per_request_million().values()) + duration_million(stream_s, memory_mb, architecture)


def container_month() -> float:
    """Return the dollars a month of the container, busy or idle, without its database and logs."""
    task = TASK_CPU * FARGATE_CPU_HOUR + TASK_GB * FARGATE_GB_HOUR
    balancer = BALANCER_HOUR + BALANCER_UNIT_HOUR + ADDRESSES * ADDRESS_HOUR
    return HOURS * (TASKS * task + balancer)


def break_even(stream_s: float, memory_mb: int, architecture: str) -> int:
    """Return requests a month above which the container is cheaper: both keep table and logs."""
    own = million(stream_s, memory_mb, architecture)
    shared = sum(per_request_million()[name] for name in ("DynamoDB", "logs", "traces"))
    return round(container_month() / (own - shared) * 1e6)


def main() -> None:
    """Print the table."""
    print("\ncosts: us-east-1, dollars, prices of 2026-11-24")
    for name, dollars in per_request_million().items():
        print(f"  {name:16} {dollars:8.2f} a million requests")
    print(f"  container        {container_month():8.2f} a month, busy or idle")
    for memory_mb in MEMORIES_MB:
        for architecture in GB_SECOND:
            for stream_s in STREAMS_S:
                total = million(stream_s, memory_mb, architecture)
                even = break_even(stream_s, memory_mb, architecture)
                print(
                    f"  {memory_mb:4} MB {architecture:6} {stream_s:2} s a stream:"
                    f" {total:8.2f} a million; the container is cheaper from {even:9,} a month"
                )


if __name__ == "__main__":
    main()
