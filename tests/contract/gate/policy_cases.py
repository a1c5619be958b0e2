"""Which providers and models an organization's settings allow: the one table that Python and every gate must agree on."""

from navplane.model.policy import ProviderSettings as Settings

# settings, provider, model, allowed
POLICY_CASES: list[tuple[Settings, str, str | None, bool]] = [
    (Settings(), "openai", "gpt-5", True),
    (Settings(), "openai", None, True),
    (Settings(disabled_providers=frozenset({"openai"})), "openai", "gpt-5", False),
    (Settings(disabled_providers=frozenset({"openai"})), "openai", None, False),
    (Settings(disabled_providers=frozenset({"anthropic"})), "openai", "gpt-5", True),
    (Settings(allow_models=("gpt-5",)), "openai", "gpt-5", True),
    (Settings(allow_models=("gpt-5",)), "openai", "gpt-5-mini", False),
    (Settings(allow_models=("gpt-5",)), "openai", None, True),
    (Settings(allow_models=("gpt-5*",)), "openai", "gpt-5-mini", True),
    (Settings(allow_models=("gpt-5*",)), "openai", "gpt-5", True),
    (Settings(allow_models=("*-mini",)), "openai", "gpt-5-mini", True),
    (Settings(allow_models=("gpt-*-mini",)), "openai", "gpt-5-mini", True),
    (Settings(allow_models=("gpt-*-mini",)), "openai", "gpt-mini", False),
    (Settings(allow_models=("o1", "gpt-*")), "openai", "gpt-5", True),
    (Settings(allow_models=("",)), "openai", "gpt-5", False),
    (Settings(allow_models=("",)), "openai", "", True),
    (Settings(block_models=("gpt-5",)), "openai", "gpt-5", False),
    (Settings(block_models=("gpt-5",)), "openai", "gpt-5-mini", True),
    (Settings(block_models=("*",)), "openai", "gpt-5", False),
    (Settings(block_models=("*",)), "openai", None, True),
    (Settings(allow_models=("*",), block_models=("gpt-5",)), "openai", "gpt-5", False),
    (Settings(allow_models=("gpt-5",), block_models=("gpt-*",)), "openai", "gpt-5", False),
    # Everything but `*` stands for itself, and case matters.
    (Settings(allow_models=("gpt_5",)), "openai", "gpt-5", False),
    (Settings(allow_models=("gpt_5",)), "openai", "gpt_5", True),
    (Settings(allow_models=("gpt%",)), "openai", "gpt-5", False),
    (Settings(allow_models=("gpt%",)), "openai", "gpt%", True),
    (Settings(allow_models=("gpt-5.1",)), "openai", "gpt-5x1", False),
    (Settings(allow_models=("gpt-?",)), "openai", "gpt-5", False),
    (Settings(allow_models=("gpt-[45]",)), "openai", "gpt-5", False),
    (Settings(allow_models=("a\\*",)), "openai", "a\\b", True),
    (Settings(allow_models=("a\\*",)), "openai", "a*", False),
    (Settings(allow_models=("a\\",)), "openai", "a\\", True),
    (Settings(allow_models=("GPT-5",)), "openai", "gpt-5", False),
    (Settings(allow_models=("a*b",)), "openai", "a\nb", True),
    (Settings(allow_models=("gpt-5",)), "openai", "gpt-5\n", False),
    (Settings(allow_models=("modèle-*",)), "openai", "modèle-é", True),
]
