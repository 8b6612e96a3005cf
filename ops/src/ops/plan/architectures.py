"""What llama.cpp knows of architectures beyond their metadata: windows, recurrent layers, slots; as tables.

Source: the llama.cpp of Ollama 0.32.15 (`load_arch_hparams` of each model, `llama_model::create_memory`), and that
Ollama's `server/sched.go` for `ONE_SLOT`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """Where an architecture has sliding windows, when its metadata does not say so itself."""

    period: int
    """Of so many layers one is full."""
    is_full_first: bool = False
    """The full layer is the first of each group, else the last."""
    tokens: int | None = None
    """The window where the metadata has none; None: then there is no window at all."""
    is_fixed: bool = False
    """The window is `tokens`, whatever the metadata says."""


WINDOWS = {
    "afmoe": Window(4),
    "cohere2": Window(4),
    "cohere2moe": Window(4, is_full_first=True),
    "exaone-moe": Window(4, tokens=128),
    "exaone4": Window(4, tokens=4096),
    "gemma2": Window(2, tokens=4096),
    "gemma3": Window(6),
    "gemma3n": Window(5),
    "gemma4": Window(6),
    "gpt-oss": Window(2),
    "laguna": Window(4, is_full_first=True),
    "llama4": Window(4, tokens=8192, is_fixed=True),
    "mellum": Window(4),
    "mimo2": Window(1),
    "muse-glimmer": Window(4),
    "olmo2": Window(4),
    "plamo3": Window(8),
    "smallthinker": Window(4, is_full_first=True),
    "step35": Window(1),
}
"""Others, Phi 3 and Mistral among them, keep every layer in full even where their metadata names a window."""
EXAONE4_LAYERS = 64
"""Only its largest model has a window."""
SMALLTHINKER_WINDOW = 4096
RECURRENT = frozenset({"arwkv7", "mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7"})
"""No layer has keys and values."""
INTERVAL = frozenset({"qwen35", "qwen35moe", "qwen3next"})
"""Attention on every n-th layer, `full_attention_interval`, 4 by default; the others are recurrent."""
DEFAULT_INTERVAL = 4
BY_HEADS = frozenset(
    {"granitehybrid", "jamba", "kimi-linear", "lfm2", "lfm2moe", "nemotron_h", "nemotron_h_moe", "plamo2"}
)
"""Layers without heads for keys and values are recurrent."""
NEMOTRON = frozenset({"nemotron_h", "nemotron_h_moe"})
"""Layers with a feed-forward part keep nothing at all."""
BOTH = frozenset({"falcon-h1"})
"""Every layer has attention and a recurrent state."""
WITHOUT_NEXT_TOKEN_LAYERS = frozenset({"hy_v3", "mimo2", "step35"}) | INTERVAL | NEMOTRON
"""The layers that guess further tokens (`nextn_predict_layers`) have no cache of their own."""
GEMMA3N_LAYERS_WITH_CACHE = 20
WITHOUT_CACHE = frozenset(
    {"bert", "dream", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "llada", "llada-moe"}
    | {"modern-bert", "neo-bert", "nomic-bert", "nomic-bert-moe", "rnd1"}
)
"""Encoders and diffusion models: they keep nothing from token to token."""
UNCOUNTED = frozenset(
    {"bailingmoe3", "deepseek32", "deepseek4", "dflash", "eagle3", "gemma4-assistant", "glm-dsa", "kimi-k3"}
    | {"minimax-01", "minimax-m3", "t5"}
)
"""They keep more, or otherwise, than what is counted here: refused rather than planned wrongly."""
DENSE_BESIDE_EXPERTS = frozenset({"gemma4", "llama4"})
"""They have a dense feed-forward as well, where the metadata's leading dense layers do not tell of it."""
TABLE_TWICE = frozenset({"gemma3n", "gemma4"})
"""The input's table, where it is the output's too, is loaded a second time on the CPU as well."""
ONE_SLOT = frozenset(
    {"lfm2", "lfm2moe", "mllama", "nemotron_h", "nemotron_h_moe", "nemotron_h_omni", "qwen35", "qwen35moe"}
    | {"qwen3next", "qwen3vl", "qwen3vlmoe"}
)
"""Ollama serves them with one slot, whatever OLLAMA_NUM_PARALLEL says; embedding models too."""
