from hypothesis import given
from hypothesis import strategies as st

from aula_chat.domain.language_models import Turn, merge_turns

turns = st.lists(
    st.builds(Turn, role=st.sampled_from(["user", "assistant"]), text=st.sampled_from(" ab\n"))
)


@given(turns)
def test_merged_turns_are_what_providers_accept(given_turns: list[Turn]) -> None:
    merged = merge_turns(given_turns)
    assert [turn.role for turn in merged] == ["user", "assistant"] * (len(merged) // 2) + [
        "user"
    ] * (len(merged) % 2)
    assert all(turn.text.strip() for turn in merged)
    assert merge_turns(merged) == merged


@given(turns)
def test_nothing_that_the_user_said_is_lost(given_turns: list[Turn]) -> None:
    said = [turn.text for turn in given_turns if turn.role == "user" and turn.text.strip()]
    kept = "\n\n".join(turn.text for turn in merge_turns(given_turns) if turn.role == "user")
    assert kept.split() == "\n\n".join(said).split()


def test_an_answer_that_never_came_joins_two_questions() -> None:
    assert merge_turns(
        [
            Turn("assistant", "Welcome"),
            Turn("user", "first"),
            Turn("assistant", "  "),
            Turn("user", "second"),
            Turn("assistant", "answer"),
        ]
    ) == (Turn("user", "first\n\nsecond"), Turn("assistant", "answer"))
