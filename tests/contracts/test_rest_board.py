"""One suite for every board of rests: the one on DynamoDB and the fake."""

import asyncio
from typing import Any

import pytest
from tollgate.core.rests import Rest
from tollgate.ledger.rests import DynamoRestBoard
from tollgate.upstream.shared_rests import RestBoard

from tests.fakes.rest_board import FakeRestBoard


@pytest.fixture(params=["dynamodb", "fake"])
def board(request: pytest.FixtureRequest) -> RestBoard:
    if request.param == "fake":
        return FakeRestBoard()
    client: Any = request.getfixturevalue("dynamodb_client")
    return DynamoRestBoard(client, request.getfixturevalue("table"))


def rest(until_ms: int, faults: int = 1) -> Rest:
    return Rest(until_ms=until_ms, faults=faults)


async def test_nothing_rests_at_first(board: RestBoard) -> None:
    """Without an item the board is empty."""
    assert await board.read() == {}


async def test_longer_rest_stands(board: RestBoard) -> None:
    """A post that is no longer than what stands changes nothing, and learns what does."""
    assert await board.post("a", rest(5)) == (True, {"a": rest(5)})
    assert await board.post("pk", rest(9)) == (True, {"a": rest(5), "pk": rest(9)})
    assert await board.post("a", rest(5, 2)) == (False, {"a": rest(5), "pk": rest(9)})
    assert await board.post("a", rest(6, 2)) == (True, {"a": rest(6, 2), "pk": rest(9)})
    assert await board.read() == {"a": rest(6, 2), "pk": rest(9)}


async def test_all_of_a_rest_is_kept(board: RestBoard) -> None:
    """The vendor's own time too, and a name with a model's in it."""
    dated = Rest(until_ms=9, faults=0, asked_ms=7)
    await board.post("a gpt-4.1", dated)

    assert await board.read() == {"a gpt-4.1": dated}


async def test_post_takes_stale_rests_off(board: RestBoard) -> None:
    """One write does both; what is refused takes nothing off, and what is not there is no error."""
    await board.post("old", rest(1))
    await board.post("a", rest(5))
    assert await board.post("a", rest(4), stale=["old"]) == (
        False,
        {"a": rest(5), "old": rest(1)},
    )
    assert await board.post("a", rest(6), stale=["old", "gone"]) == (True, {"a": rest(6)})


async def test_probe_is_claimed_once(board: RestBoard) -> None:
    """Of many who claim a rest that is over one gets it; nobody one that goes on, or is none."""
    await board.post("模型", rest(5))
    answers = await asyncio.gather(
        *(board.claim("模型", rest(100 + n), now_ms=5) for n in range(20))
    )

    assert [is_won for is_won, _ in answers].count(True) == 1
    assert (await board.claim("模型", rest(200), now_ms=6))[0] is False
    assert (await board.claim("other", rest(200), now_ms=6))[0] is False
    assert set(await board.read()) == {"模型"}


async def test_removal_spares_a_later_rest(board: RestBoard) -> None:
    """What others have said since is not taken off; what is not there need not be."""
    await board.post("a", rest(5))
    await board.remove("a", until_ms=4)
    assert await board.read() == {"a": rest(5)}

    await board.remove("a", until_ms=5)
    await board.remove("a", until_ms=5)
    assert await board.read() == {}


async def test_removal_takes_a_probe_off_too(board: RestBoard) -> None:
    """However late it ends: nothing has failed since."""
    await board.post("a", rest(5))
    probe = Rest(until_ms=100, faults=1, is_probe=True)
    assert await board.claim("a", probe, now_ms=5) == (True, {"a": probe})

    await board.remove("a", until_ms=5)
    assert await board.read() == {}


async def test_probe_is_replaced_while_it_stands(board: RestBoard) -> None:
    """By a shorter rest too; another's probe, or a rest, is left as it is."""
    probe = Rest(until_ms=100, faults=1, is_probe=True)
    await board.post("a", rest(5))
    assert (await board.replace("a", rest(4), probe_ms=5))[0] is False
    await board.claim("a", probe, now_ms=5)
    assert await board.replace("a", rest(7), probe_ms=99) == (False, {"a": probe})
    assert await board.replace("a", rest(7), probe_ms=100) == (True, {"a": rest(7)})

    assert (await board.replace("b", rest(7), probe_ms=100))[0] is False
