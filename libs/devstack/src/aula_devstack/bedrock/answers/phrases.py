"""The phrases of the prose; `{topic}`, `{first}`, `{second}` and `{before}` are filled in."""

LONGER = 0.5

OPENINGS = {
    "what": (
        "You ask about {topic}, so let us begin with a plain description and build on it.",
        "{topic}: that is a good thing to ask about, and it becomes clear in a few steps.",
        "The short way into {topic} is to say what it is for before saying what it is made of.",
    ),
    "how": (
        "To see how {topic} comes about, it helps to follow it from its beginning to its end.",
        "You want to know how it goes with {topic}; the order of the steps is half the answer.",
        "How {topic} works is easiest to see when one step is taken at a time.",
    ),
    "why": (
        "You ask why, and with {topic} the reason is best found by asking what comes before it.",
        "The why of {topic} has two sides: what causes it, and what would happen without it.",
        "Behind your question about {topic} there is a cause that can be checked step by step.",
    ),
    "compare": (
        "To tell {topic} apart, put them side by side and look at one property at a time.",
        "The comparison of {topic} starts with what they share, because that is what confuses.",
        "With {topic}, the difference shows best in a case where only one of them fits.",
    ),
    "write": (
        "Here is a first draft on {topic}, kept plain so that you can make it your own.",
        "For a text on {topic}, one clear picture at the start carries everything after it.",
        "Let us write about {topic} by starting with something that the reader has seen.",
    ),
}

LOOKS_BACK = (
    "Earlier we spoke about {before}, and it is worth keeping that in mind here.",
    "This follows on from your earlier message about {before}.",
    "You will notice a link to {before}, which you brought up before.",
)

BODY = (
    (
        (
            "First, say what {first} means in your own words, because most trouble with it starts "
            "with a word that was never quite settled."
        ),
        "The word {first} carries most of the weight here, so fix its meaning before going on.",
        "Start from {first} and write down the two or three facts about it that nobody disputes.",
    ),
    (
        (
            "Then ask how {first} and {second} hang together: does one cause the other, "
            "contain it, or merely appear beside it?"
        ),
        "Next comes {second}, which gives {first} its setting; without it the picture stays flat.",
        (
            "After that, look at {second}, for the connection between the two is where the answer "
            "to your question sits."
        ),
    ),
    (
        (
            "A small example helps: take one case of {topic} that you know, change one thing "
            "in it, and watch what follows."
        ),
        (
            "Try it on an everyday case, because whoever can find {topic} in daily life has "
            "understood it."
        ),
        (
            "Picture explaining {topic} to a friend with nothing but a pencil; whatever you would "
            "draw first is its core."
        ),
    ),
    (
        (
            "A frequent mistake is to learn the name and stop there, so check that you could still "
            "explain it with the name left out."
        ),
        (
            "Be careful with the exceptions, since a rule about {first} is only as good as its "
            "known limits."
        ),
        (
            "It is easy to mix this up with things that merely sound alike, so compare before you "
            "conclude."
        ),
    ),
)

ASIDES = (
    "If you need it for school, note where each statement comes from, so that you can defend it.",
    "It also pays to ask who first cared about {first}, because old problems explain odd names.",
    "Should numbers be involved, estimate them roughly before you compute anything exactly.",
    "People disagree about details of {topic}, which is a good reason to look at two sources.",
)

CLOSINGS = (
    "Which part of {topic} should we look at more closely?",
    "If you tell me what you know about {second} already, I can go on from there.",
    "Would an exercise on {first} help, or shall we go deeper?",
    "In one sentence: understand {first}, tie it to {second}, and {topic} falls into place.",
)

STOP_WORDS = frozenset(
    [
        "a",
        "about",
        "above",
        "after",
        "again",
        "all",
        "also",
        "am",
        "an",
        "and",
        "any",
        "are",
        "as",
        "ask",
        "at",
        "be",
        "because",
        "been",
        "before",
        "being",
        "below",
        "between",
        "both",
        "but",
        "by",
        "can",
        "could",
        "describe",
        "did",
        "do",
        "does",
        "doing",
        "don't",
        "down",
        "during",
        "each",
        "else",
        "even",
        "ever",
        "every",
        "explain",
        "few",
        "for",
        "from",
        "further",
        "get",
        "give",
        "go",
        "good",
        "had",
        "has",
        "have",
        "having",
        "he",
        "hello",
        "help",
        "her",
        "here",
        "hers",
        "hey",
        "hi",
        "him",
        "his",
        "how",
        "i",
        "i'd",
        "i'll",
        "i'm",
        "i've",
        "if",
        "in",
        "into",
        "is",
        "isn't",
        "it",
        "it's",
        "its",
        "itself",
        "just",
        "know",
        "let",
        "like",
        "little",
        "long",
        "make",
        "many",
        "may",
        "me",
        "might",
        "mine",
        "more",
        "most",
        "much",
        "must",
        "my",
        "name",
        "need",
        "no",
        "nor",
        "not",
        "now",
        "of",
        "off",
        "on",
        "once",
        "one",
        "only",
        "or",
        "other",
        "our",
        "out",
        "over",
        "own",
        "please",
        "put",
        "really",
        "said",
        "same",
        "say",
        "see",
        "she",
        "should",
        "so",
        "some",
        "something",
        "still",
        "such",
        "tell",
        "than",
        "thank",
        "thanks",
        "that",
        "that's",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "thing",
        "things",
        "think",
        "this",
        "those",
        "through",
        "to",
        "too",
        "under",
        "until",
        "up",
        "us",
        "use",
        "very",
        "want",
        "was",
        "we",
        "well",
        "were",
        "what",
        "what's",
        "when",
        "where",
        "which",
        "while",
        "who",
        "whom",
        "why",
        "will",
        "with",
        "without",
        "word",
        "words",
        "work",
        "works",
        "would",
        "write",
        "yes",
        "you",
        "you'd",
        "you'll",
        "your",
        "yours",
    ]
)
