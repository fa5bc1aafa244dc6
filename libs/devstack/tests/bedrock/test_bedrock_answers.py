import pytest
from hypothesis import given
from hypothesis import strategies as st

from aula_devstack.bedrock.answers import answer
from aula_devstack.bedrock.requests import Turn
from aula_devstack.bedrock.tokens import count_tokens, tokenize


def say(*texts: str, tokens: int | None = None, model_name: str = "Claude 3 Haiku") -> str:
    turns = [
        Turn(role="assistant" if index % 2 else "user", text=text)
        for index, text in enumerate(texts)
    ]
    return answer(turns, question=texts[-1], model_name=model_name, tokens=tokens)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("My name is Ada and my dog is Rex.", "Hi", "What is my name?"), "Your name is Ada;"),
        (("My name is Ada and my dog is Rex.", "Hi", "What's my dog?"), "Your dog is Rex;"),
        (("I'm Bob Miller, hello", "Hi", "Who am I?"), "Your name is Bob Miller;"),
        (("my name is A", "ok", "my name is B", "ok", "do you know my name"), "name is B;"),
        (("What is my name?",), "You have not told me your name"),
        (("a", "b", "How many messages are there?"), "3 messages in our conversation: 2 from you"),
        (("tides?", "b", "x", "c", "What did I ask first?"), "“tides?”"),
        (("tides?", "b", "moon?", "c", "what did I say before this?"), "“moon?”"),
        (("What is 12 times 7 + (3-1)?",), "= 86"),
        (("What is 2^10?",), "= 1024"),
        (("Calculate 10 / 4",), "= 2.5"),
        (("what is 1,000,000 / 0",), "no value"),
        (("Count to 5",), "1, 2, 3, 4, 5."),
        (("Please count from 2 to -1",), "2, 1, 0, -1."),
        (('Please repeat "Grüße, Welt" now',), "Grüße, Welt"),
        (("List three reasons to read",), "3. "),
        (("Who are you?",), "Claude 3 Haiku"),
    ],
)
def test_what_can_be_answered_exactly_is(texts: tuple[str, ...], expected: str) -> None:
    assert expected in say(*texts)


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("How does photosynthesis work?", "photosynthesis"),
        ("Why is the sky blue?", "sky"),
        ("What is the difference between speed and velocity?", "speed and velocity"),
        ("Explain the French Revolution to me.", "French Revolution"),
        ("Write a poem about autumn leaves", "autumn leaves"),
        ("Was kostet ein Apfel?", "Apfel"),
    ],
)
def test_other_questions_get_a_paragraph_about_their_words(question: str, word: str) -> None:
    text = say(question)
    assert word in text
    assert 60 <= len(text.split()) <= 150
    assert "{" not in text


def test_the_same_conversation_gets_the_same_answer_and_others_get_others() -> None:
    assert say("Explain rain") == say("Explain rain")
    several = {say("a", "b", "Explain rain"), say("Explain rain"), say("Explain snow")}
    assert len(several | {say("Explain rain", model_name="Claude 3 Opus")}) == 4


def test_an_earlier_question_is_taken_up() -> None:
    assert "black holes" in say("Tell me about black holes", "Gladly.", "Explain gravity")


@given(st.text(), st.integers(min_value=0, max_value=400))
def test_any_text_is_answered_with_as_many_tokens_as_asked_for(text: str, tokens: int) -> None:
    assert count_tokens(say(text, tokens=tokens)) == tokens


@given(st.text())
def test_any_text_gets_an_answer(text: str) -> None:
    assert say(text)


@given(st.text(), st.integers(min_value=0))
def test_tokens_are_the_text_and_their_prefixes_count_alike(text: str, upto: int) -> None:
    tokens = tokenize(text)
    assert "".join(tokens) == text
    assert tokenize("".join(tokens[:upto])) == tokens[:upto]


@pytest.mark.parametrize("question", ["what is 9**9**9**9", "what is " + "(" * 90 + "1" + ")" * 90,
                                      "what is 999999999999^64 * 999999999999^64 / 3"])  # fmt: skip
def test_sums_beyond_reason_are_not_computed(question: str) -> None:
    assert say(question)
