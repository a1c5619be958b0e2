"""Which providers and models one policy allows: the one table that Python and every gate must agree on."""

from navplane.model.policy import Policy

# policy, provider, model, allowed
POLICY_CASES: list[tuple[Policy, str, str | None, bool]] = [
    (Policy(), "openai", "gpt-5", True),
    (Policy(), "openai", None, True),
    (Policy(disabled_providers=frozenset({"openai"})), "openai", "gpt-5", False),
    (Policy(disabled_providers=frozenset({"openai"})), "openai", None, False),
    (Policy(disabled_providers=frozenset({"anthropic"})), "openai", "gpt-5", True),
    (Policy(allow_models=("gpt-5",)), "openai", "gpt-5", True),
    (Policy(allow_models=("gpt-5",)), "openai", "gpt-5-mini", False),
    (Policy(allow_models=("gpt-5",)), "openai", None, True),
    (Policy(allow_models=("gpt-5*",)), "openai", "gpt-5-mini", True),
    (Policy(allow_models=("gpt-5*",)), "openai", "gpt-5", True),
    (Policy(allow_models=("*-mini",)), "openai", "gpt-5-mini", True),
    (Policy(allow_models=("gpt-*-mini",)), "openai", "gpt-5-mini", True),
    (Policy(allow_models=("gpt-*-mini",)), "openai", "gpt-mini", False),
    (Policy(allow_models=("o1", "gpt-*")), "openai", "gpt-5", True),
    (Policy(allow_models=("",)), "openai", "gpt-5", False),
    (Policy(allow_models=("",)), "openai", "", True),
    (Policy(block_models=("gpt-5",)), "openai", "gpt-5", False),
    (Policy(block_models=("gpt-5",)), "openai", "gpt-5-mini", True),
    (Policy(block_models=("*",)), "openai", "gpt-5", False),
    (Policy(block_models=("*",)), "openai", None, True),
    (Policy(allow_models=("*",), block_models=("gpt-5",)), "openai", "gpt-5", False),
    (Policy(allow_models=("gpt-5",), block_models=("gpt-*",)), "openai", "gpt-5", False),
    # Everything but `*` stands for itself, and case matters.
    (Policy(allow_models=("gpt_5",)), "openai", "gpt-5", False),
    (Policy(allow_models=("gpt_5",)), "openai", "gpt_5", True),
    (Policy(allow_models=("gpt%",)), "openai", "gpt-5", False),
    (Policy(allow_models=("gpt%",)), "openai", "gpt%", True),
    (Policy(allow_models=("gpt-5.1",)), "openai", "gpt-5x1", False),
    (Policy(allow_models=("gpt-?",)), "openai", "gpt-5", False),
    (Policy(allow_models=("gpt-[45]",)), "openai", "gpt-5", False),
    (Policy(allow_models=("a\\*",)), "openai", "a\\b", True),
    (Policy(allow_models=("a\\*",)), "openai", "a*", False),
    (Policy(allow_models=("a\\",)), "openai", "a\\", True),
    (Policy(allow_models=("GPT-5",)), "openai", "gpt-5", False),
    (Policy(allow_models=("a*b",)), "openai", "a\nb", True),
    (Policy(allow_models=("gpt-5",)), "openai", "gpt-5\n", False),
    (Policy(allow_models=("modèle-*",)), "openai", "modèle-é", True),
]
