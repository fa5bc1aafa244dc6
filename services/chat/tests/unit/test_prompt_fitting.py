"""What of a conversation a model is given, and what sessions are called."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from aula_chat.domain.language_models import Turn, merge_turns
from aula_chat.domain.models import (
    CATALOGUE,
    CLAUDE_3_OPUS,
    CLAUDE_3_SONNET,
    LLAMA_2_13B,
    Model,
    fallbacks_of,
    find_model,
    model_of,
    models_for,
)
from aula_chat.domain.prompts import Conversation, fit, holds
from aula_chat.domain.sessions import UNTITLED, title_from
from aula_chat.domain.tokens import estimate_prompt

SIZES = st.sampled_from([0, 1, 2, 3, 28, 29, 30, 31, 44, 45, 46, 60, 90])
TURNS = st.lists(
    st.builds(
        lambda role, size, letter: Turn(role=role, text=size * letter),
        st.sampled_from(["user", "assistant"]),
        SIZES,
        st.sampled_from(["x", "ä", " "]),
    ),
    max_size=12,
)


def small(window: int) -> Model:
    """A model whose window holds a few words."""
    return replace(model_of(LLAMA_2_13B), context_window=window)


def talk(turns: Sequence[Turn], earlier: int = 0) -> Conversation:
    return Conversation(turns=tuple(turns), earlier=earlier, last_position=earlier + len(turns))


def cost(turns: Sequence[Turn]) -> int:
    return estimate_prompt(turn.text for turn in turns)


@given(TURNS, SIZES.filter(bool), st.integers(min_value=30, max_value=200))
def test_a_prompt_is_the_newest_messages_that_fit_and_always_the_question(
    turns: list[Turn], size: int, window: int
) -> None:
    model, question = small(window), "?" * size
    context = fit(talk(turns), question, model)
    # tried out: the longest end of the conversation that leaves room for the answer
    ends = [merge_turns((*turns[at:], Turn("user", question))) for at in range(len(turns) + 1)]
    fitting = [end for end in ends if cost(end) + context.max_output_tokens <= window]
    if holds(model, question):
        assert context.turns == max(fitting, key=cost)
        assert context.input_tokens == cost(context.turns) <= model.prompt_room
    else:
        assert fitting == []
        assert context.turns == (Turn("user", question),)
    assert context.max_output_tokens == min(2000, window // 2)


@given(TURNS, st.integers(min_value=0, max_value=99), st.integers(min_value=30, max_value=200))
def test_dropped_are_all_messages_before_the_first_that_is_given(
    turns: list[Turn], earlier: int, window: int
) -> None:
    context = fit(talk(turns, earlier), "?", small(window))
    whole = merge_turns((*turns, Turn("user", "?")))
    if context.dropped == 0:
        assert earlier == 0
        assert context.turns == whole
        return
    left = turns[context.dropped - earlier :]
    assert context.turns == merge_turns((*left, Turn("user", "?")))
    assert not left or (left[0].role == "user" and left[0].text.strip())


def test_a_prompt_is_filled_to_its_last_byte() -> None:
    model = small(60)  # 90 bytes for the prompt
    for size, dropped, tokens in (
        (87, 0, 30),
        (88, 1, 1),
    ):  # an empty line joins it to the question
        context = fit(talk([Turn("user", "x" * size)]), "?", model)
        assert (context.dropped, context.input_tokens) == (dropped, tokens)
    for size, dropped, tokens in ((88, 0, 30), (89, 2, 1)):
        context = fit(talk([Turn("user", "q"), Turn("assistant", "x" * size)]), "?", model)
        assert (context.dropped, context.input_tokens) == (dropped, tokens)


def test_an_answer_whose_question_is_left_out_is_left_out_too() -> None:
    turns = [Turn("user", "q" * 90), Turn("assistant", "a"), Turn("user", "b")]
    context = fit(talk(turns), "c", small(60))
    assert context.turns == (Turn("user", "b\n\nc"),)
    assert context.dropped == 2


def test_an_answer_whose_question_was_deleted_is_no_sign_of_a_full_window() -> None:
    context = fit(talk([Turn("assistant", "a"), Turn("user", "b")]), "c", small(60))
    assert (context.turns, context.dropped) == ((Turn("user", "b\n\nc"),), 0)


def test_a_model_holds_a_question_that_leaves_it_room_to_answer() -> None:
    llama = model_of(LLAMA_2_13B)
    assert llama.prompt_room == 4096 - 2000
    assert holds(llama, "x" * 3 * llama.prompt_room)
    assert not holds(llama, "x" * (3 * llama.prompt_room + 1))
    assert not holds(llama, "ä" * 2 * llama.prompt_room)
    assert all(holds(model, "x" * 6000) for model in CATALOGUE)


def test_turns_of_one_role_in_a_row_become_one() -> None:
    turns = [Turn(role="user", text="a"), Turn(role="assistant", text=" ")]
    context = fit(talk(turns), "b", model_of(CLAUDE_3_SONNET))
    assert context.turns == (Turn(role="user", text="a\n\nb"),)


@given(st.lists(st.text()))
def test_a_prompt_costs_a_third_of_its_bytes_and_one_token_at_least(texts: list[str]) -> None:
    size = sum(len(text.encode()) for text in texts)
    assert estimate_prompt(texts) == max(1, -(-size // 3))


@given(st.text())
def test_a_title_is_one_short_line(text: str) -> None:
    title = title_from(text)
    assert title
    assert len(title) <= 61
    assert "\n" not in title


def test_a_title_is_cut_at_a_word() -> None:
    assert title_from("word " * 30) == ("word " * 12)[:59] + "…"
    assert title_from(" \n ") == UNTITLED


def test_tiers_include_what_the_contract_says() -> None:
    assert [len(models_for(tier)) for tier in ("basic", "enterprise", "none")] == [2, 6, 0]
    sonnet = find_model(CLAUDE_3_SONNET, tier="basic")
    assert [model.name for model in fallbacks_of(sonnet, tier="basic")] == ["Claude 3 Haiku"]
    opus = find_model(CLAUDE_3_OPUS, tier="pro")
    assert [model.name for model in fallbacks_of(opus, tier="pro")] == [
        "Claude 3 Sonnet", "Claude 3 Haiku",
    ]  # fmt: skip
