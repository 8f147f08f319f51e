"""How long a channel rests, and who finds out that it answers again."""

import pytest
from tollgate.upstream.cooldowns import PROBE_S, CooldownRules, Cooldowns


def is_due(cooldowns: Cooldowns, channel: str) -> bool:
    """Whether the rest of `channel` is over, and nobody knows yet if it answers."""
    return cooldowns.find(channel) is not None and not cooldowns.is_cooling(channel)


def test_rest_ends_by_time_and_by_an_answer() -> None:
    """A rest lasts as long as it was started for; the longer of two counts; an answer ends it."""
    now = [100.0]
    cooldowns = Cooldowns(lambda: now[0])
    cooldowns.start("a", 30)
    cooldowns.start("a", 5)
    cooldowns.start("b", 30)
    cooldowns.answer("b", 100.0)

    assert (cooldowns.is_cooling("a"), cooldowns.is_cooling("b")) == (True, False)
    now[0] = 129.9
    assert cooldowns.is_cooling("a")
    now[0] = 130.0
    assert not cooldowns.is_cooling("a")


def test_probe_is_one_requests() -> None:
    """When the rest is over the first request asks; to the others the channel rests on."""
    now = [0.0]
    cooldowns = Cooldowns(lambda: now[0])
    cooldowns.start("a", 30)
    now[0] = 30.0
    assert is_due(cooldowns, "a")
    cooldowns.begin_probe("a")

    assert (is_due(cooldowns, "a"), cooldowns.is_cooling("a")) == (False, True)
    now[0] += PROBE_S
    assert is_due(cooldowns, "a")


def test_probe_without_a_word_leaves_it_to_the_next() -> None:
    """A probe that was cancelled, or found the fault in its own request, is followed by one."""
    now = [0.0]
    cooldowns = Cooldowns(lambda: now[0])
    cooldowns.start("a", 0)
    cooldowns.end_probe("a", cooldowns.begin_probe("a"))
    assert is_due(cooldowns, "a")

    lost = cooldowns.begin_probe("a")
    cooldowns.start("a", 30, probe=lost)
    cooldowns.end_probe("a", lost)
    assert cooldowns.is_cooling("a")


def test_probe_is_ended_by_who_has_begun_it() -> None:
    """Not by one whose time is up, in whose place another request asks; nor by none."""
    now = [0.0]
    cooldowns = Cooldowns(lambda: now[0])
    cooldowns.start("a", 0)
    late = cooldowns.begin_probe("a")
    now[0] += PROBE_S
    own = cooldowns.begin_probe("a")

    cooldowns.end_probe("a", late)
    cooldowns.end_probe("a", 0)
    assert cooldowns.is_cooling("a")
    cooldowns.end_probe("a", own)
    assert is_due(cooldowns, "a")


def test_answer_ends_no_rest_that_began_after_it_was_asked_for() -> None:
    """What was asked for before the fault says nothing of the time after it."""
    now = [0.0]
    cooldowns = Cooldowns(lambda: now[0])
    now[0] = 5.0
    cooldowns.start("a", 30)

    assert cooldowns.answer("a", 4.0) is None
    assert cooldowns.is_cooling("a")
    assert cooldowns.answer("a", 5.0) is not None
    assert not cooldowns.is_cooling("a")


def test_nothing_ends_a_rest_before_the_vendors_own_time() -> None:
    """Neither an answer nor what others say; then an answer does."""
    now = [0.0]
    cooldowns = Cooldowns(lambda: now[0])
    cooldowns.start("a", 30, asked_s=20)
    now[0] = 19.5

    assert cooldowns.asked_left_s("a") == 0.5
    assert cooldowns.answer("a", 19.0) is None
    cooldowns.forget("a")
    assert cooldowns.is_cooling("a")
    now[0] = 20.0
    assert cooldowns.asked_left_s("a") == 0
    assert cooldowns.answer("a", 20.0) is not None


def test_failed_probe_rests_from_now_on() -> None:
    """The time that was given to the probe is no part of the rest."""
    now = [0.0]
    cooldowns = Cooldowns(lambda: now[0])
    cooldowns.start("a", 0)
    cooldowns.start("a", 10, probe=cooldowns.begin_probe("a"))

    now[0] = 10.0
    assert is_due(cooldowns, "a")


def test_faults_are_counted_once_a_rest() -> None:
    """Twelve requests that fail at once are one fault; that of a probe is the next one."""
    now = [0.0]
    cooldowns = Cooldowns(lambda: now[0])
    for _ in range(12):
        assert cooldowns.count_fault("a") == 1
        cooldowns.start("a", 30)
    now[0] = 30.0
    probe = cooldowns.begin_probe("a")

    assert cooldowns.count_fault("a", probe=probe) == 2
    cooldowns.answer("a", 30.0)
    assert cooldowns.count_fault("a") == 1


def test_what_others_say_holds_unless_our_own_lasts_longer() -> None:
    """A rest that is ours alone is not shortened; one that is shared is as the board says."""
    now = [0.0]
    cooldowns = Cooldowns(lambda: now[0])
    cooldowns.start("a", 30)
    cooldowns.learn("a", left_s=10, faults=3)
    now[0] = 20.0
    assert cooldowns.is_cooling("a")

    cooldowns.learn("a", left_s=0, faults=3)
    assert is_due(cooldowns, "a")
    assert cooldowns.shared() == ["a"]


@pytest.mark.parametrize(
    ("is_rate_limit", "asked_s", "expected"),
    [
        (False, None, 30),
        (False, 2.0, 30),
        (False, 70.0, 70),
        (False, 999.0, 300),
        (True, None, 5),
        (True, 2.0, 2),
        (True, 999.0, 300),
    ],
)
def test_how_long_a_rest_is(*, is_rate_limit: bool, asked_s: float | None, expected: float) -> None:
    """After a rate limit as long as it asks, within bounds; after a fault at least its own."""
    assert CooldownRules().rest_s(is_rate_limit=is_rate_limit, asked_s=asked_s) == expected


def test_each_fault_in_a_row_doubles_the_rest() -> None:
    """Up to two minutes, however long the channel is dead."""
    rests = [
        CooldownRules().rest_s(is_rate_limit=False, asked_s=None, faults=faults)
        for faults in (1, 2, 3, 4, 5, 10_000)
    ]

    assert rests == [30, 60, 120, 120, 120, 120]


def test_failure_beside_a_probe_leaves_it_what_it_is() -> None:
    """A late one neither ends the probe's time nor counts; the vendor's own time it brings does."""
    now = [0.0]
    cooldowns = Cooldowns(lambda: now[0])
    cooldowns.start("a", 0)
    probe = cooldowns.begin_probe("a")
    faults = cooldowns.count_fault("a")
    cooldowns.start("a", 5)
    now[0] = 10.0
    assert cooldowns.is_cooling("a")
    assert faults == 0

    cooldowns.start("a", 5, asked_s=7)
    assert cooldowns.end_probe("a", probe)
    assert cooldowns.is_cooling("a")
    now[0] = 17.0
    assert is_due(cooldowns, "a")
