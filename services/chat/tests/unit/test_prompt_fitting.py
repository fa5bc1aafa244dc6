"""What of a conversation a model is given, and what sessions are called."""

from hypothesis import given
from hypothesis import strategies as st

from aula_chat.domain.language_models import Turn
from aula_chat.domain.models import (
    CATALOGUE,
    CLAUDE_3_OPUS,
    CLAUDE_3_SONNET,
    LLAMA_2_13B,
    fallbacks_of,
    find_model,
    model_of,
    models_for,
)
from aula_chat.domain.prompts import fit
from aula_chat.domain.sessions import UNTITLED, title_from
from aula_chat.domain.tokens import estimate_prompt, estimate_tokens

TURNS = st.lists(
    st.builds(Turn, role=st.sampled_from(["user", "assistant"]), text=st.text(max_size=4000)),
    max_size=12,
)


@given(TURNS, st.text(min_size=1, max_size=6000).filter(str.strip), st.sampled_from(CATALOGUE))
def test_a_fitted_prompt_alternates_ends_with_the_question_and_leaves_room(
    earlier: list[Turn], question: str, model: object
) -> None:
    chosen = next(known for known in CATALOGUE if known == model)
    context = fit([*earlier, Turn(role="user", text=question)], chosen)
    roles = [turn.role for turn in context.turns]
    assert roles == ["user" if index % 2 == 0 else "assistant" for index in range(len(roles))]
    assert context.turns[-1].text.endswith(question)
    assert context.max_output_tokens <= min(chosen.max_output_tokens, 2000)
    if context.dropped < len(earlier):
        kept = sum(estimate_tokens(turn.text) for turn in earlier[context.dropped :])
        room = chosen.context_window - context.max_output_tokens
        assert kept + estimate_tokens(question) <= room


def test_the_oldest_turns_are_dropped_first() -> None:
    turns = [Turn(role="user", text=str(number) * 3000) for number in range(8)]
    context = fit(turns, model_of(LLAMA_2_13B))
    assert context.dropped == 6
    assert context.turns[0].text.startswith("6")


def test_turns_of_one_role_in_a_row_become_one() -> None:
    turns = [Turn(role="user", text="a"), Turn(role="assistant", text=" "), Turn("user", "b")]
    context = fit(turns, model_of(CLAUDE_3_SONNET))
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
