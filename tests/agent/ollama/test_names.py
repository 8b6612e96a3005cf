"""Model names: which spellings mean the same model."""

import pytest

from probe_agent.ollama.names import canonical_name, same_model, short_name


@pytest.mark.parametrize(
    "spelling",
    ["owl", "OWL", "owl:latest", "Owl:LATEST", "library/owl", "registry.ollama.ai/library/owl:latest"],
)
def test_every_spelling_of_a_name_has_one_canonical_form(spelling: str) -> None:
    """F12: default host, namespace and tag may be left out, and case does not count."""
    assert canonical_name(spelling) == "registry.ollama.ai/library/owl:latest"
    assert same_model(spelling, "owl")


@pytest.mark.parametrize("other", ["owl:1b", "owls", "me/owl", "hf.co/library/owl", "registry.ollama.ai/me/owl"])
def test_other_models_have_other_names(other: str) -> None:
    """Another tag, model, namespace or host is another model."""
    assert not same_model(other, "owl")


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("smollm2", "smollm2:latest"),
        ("library/smollm2", "smollm2:latest"),
        ("registry.ollama.ai/library/smollm2:135m", "smollm2:135m"),
        ("registry.ollama.ai/me/smollm2", "me/smollm2:latest"),
        ("gemma3:4b-it-qat", "gemma3:4b-it-qat"),
        ("hf.co/org/model", "hf.co/org/model:latest"),
        ("registry:5000/org/model", "registry:5000/org/model:latest"),
        ("registry:5000/org/model:q4", "registry:5000/org/model:q4"),
    ],
)
def test_the_short_name_is_what_ollama_lists(name: str, short: str) -> None:
    """A short name has its tag, and neither the default host nor namespace; a registry's port is no tag."""
    assert short_name(name) == short
