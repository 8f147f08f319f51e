"""Whatever a vendor's answer is turned into, the caller gets an answer or an error of the table.

FUZZ_CASES cases (200; `make torture` runs many more), from FUZZ_SEED (drawn), the first of them
FUZZ_FIRST (0): a failure names both, and `FUZZ_SEED=… FUZZ_FIRST=… FUZZ_CASES=1` runs it again.
"""

import os
import random
import secrets
import time

import pytest
from tollgate.errors import UpstreamBrokenError
from tollgate.upstream.sse import ServerEvent, SseParser

from tests.torture.answers import check, draw
from tests.torture.mutations import cut, load_seeds, mutate

CASES = int(os.environ.get("FUZZ_CASES", "200"))
SEED = int(os.environ.get("FUZZ_SEED") or secrets.randbelow(2**32))
FIRST = int(os.environ.get("FUZZ_FIRST", "0"))
LIMIT = 4096


async def test_mutated_answers_stay_within_the_contract() -> None:
    """Errors of the tree only, valid JSON and SSE, no key, cuts change nothing, money adds up."""
    began = time.monotonic()
    for index in range(FIRST, FIRST + CASES):
        case = draw(SEED, index)
        try:
            await check(case)
        except Exception as error:  # noqa: BLE001 - whatever it is, the case is what matters
            pytest.fail(
                f"FUZZ_SEED={SEED} FUZZ_FIRST={index} FUZZ_CASES=1: {error!r}\n"
                f"status {case.status}, {case.fields}, {case.body[:2000]!r}"
            )
    print(f"FUZZ_SEED={SEED}: {CASES} answers, {time.monotonic() - began:.0f} s")


def held_bytes(parser: SseParser) -> int:
    """Return what the parser keeps of the bytes that it was fed."""
    parts = (*parser._line, *parser._data)
    return sum(map(len, parts)) + len(parser._event)


def parse(pieces: list[bytes]) -> tuple[list[ServerEvent], bool]:
    """Return the events, and whether the limit ended them; no more than the limit is kept."""
    parser, events = SseParser(LIMIT), []
    try:
        for piece in pieces:
            events += parser.feed(piece)
            assert held_bytes(parser) <= 2 * LIMIT
    except UpstreamBrokenError:
        return events, True
    return events + parser.end(), False


def test_mutated_streams_are_parsed_alike_however_they_are_cut() -> None:
    """The parser raises nothing but its limit, keeps no more than that, and looks past cuts."""
    seeds = load_seeds(is_image=False, is_stream=True) + load_seeds(is_image=True, is_stream=True)
    for index in range(FIRST, FIRST + CASES):
        dice = random.Random(f"{SEED}/{index}/parser")
        body = mutate(dice, seeds)
        one, is_cut_off = parse(cut(dice, body))
        other, is_other_cut_off = parse(cut(dice, body))
        shorter = min(len(one), len(other)) if is_cut_off else max(len(one), len(other))

        told = f"FUZZ_SEED={SEED} FUZZ_FIRST={index} FUZZ_CASES=1"
        assert is_cut_off == is_other_cut_off, told
        assert one[:shorter] == other[:shorter], told
