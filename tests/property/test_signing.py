"""Our signatures and botocore's are the same, whatever is signed, by whom and when."""

from datetime import UTC, datetime
from unittest import mock

import botocore.auth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st
from tollgate.aws.signing import Keys, Signer

VISIBLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)
NAMES = st.sampled_from(["x-amz-target", "content-type", "x-other", "accept", "a-b", "zz"])
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001 - given UTC
    lambda at: at.replace(tzinfo=UTC, microsecond=0)
)


def sign_by_botocore(
    keys: Keys, headers: dict[str, str], body: bytes, *, at: datetime, service: str, region: str
) -> dict[str, str]:
    by = ReadOnlyCredentials(keys.access_key, keys.secret_key, keys.token)
    url = f"https://{headers['host']}/"
    request = AWSRequest(method="POST", url=url, data=body, headers=headers)
    # botocore reads the clock itself.
    with mock.patch.object(botocore.auth, "get_current_datetime", return_value=at):
        SigV4Auth(by, service, region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


KEYS = st.builds(
    Keys, access_key=VISIBLE, secret_key=st.text(min_size=1), token=st.none() | VISIBLE
)


@given(
    both=st.tuples(KEYS, KEYS),
    headers=st.dictionaries(NAMES, VISIBLE),
    body=st.binary(),
    times=st.lists(TIMES, min_size=1, max_size=3),
    region=st.sampled_from(["us-east-1", "eu-central-1", "us-gov-west-1"]),
    service=st.sampled_from(["dynamodb", "secretsmanager"]),
)
def test_signatures_are_botocores(
    both: tuple[Keys, Keys],
    headers: dict[str, str],
    body: bytes,
    times: list[datetime],
    region: str,
    service: str,
) -> None:
    """One signer over several days and renewed keys, since it keeps the day's key."""
    clock = iter(at.timestamp() for at in [*times, times[-1]])
    keys = iter(both)
    signer = Signer(lambda: next(keys), service=service, region=region, clock=lambda: next(clock))
    headers = {"host": f"{service}.{region}.amazonaws.com"} | headers

    def check(by: Keys, at: datetime) -> None:
        expected = sign_by_botocore(by, headers, body, at=at, service=service, region=region)
        assert signer.sign(headers, body) == expected

    for at in times:
        check(both[0], at)
    assert signer.renew() is (both[0] != both[1])
    check(both[1], times[-1])
