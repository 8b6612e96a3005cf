"""What llama.cpp knows of architectures beyond their metadata: windows, recurrent layers, slots; as tables.

Source: the llama.cpp of Ollama 0.32.15 (`load_arch_hparams` of each model, `llama_model::create_memory`), and that
Ollama's `server/sched.go` for `ONE_SLOT`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Window:
    """Which layers of an architecture have a sliding window, where its metadata does not say."""

    # One layer of this many has full attention.
    period: int
    # The full layer is the first of each group; otherwise the last.
    is_full_first: bool = False
    # The window, where the metadata has none; None: then there is no window at all.
    tokens: int | None = None
    # The window is `tokens`, whatever the metadata says.
    is_fixed: bool = False


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
# Every layer has full attention, even where the metadata names a window (Phi 3, Mistral).
FULL = frozenset(
    {"apertus", "arcee", "arctic", "baichuan", "bailingmoe", "bailingmoe2", "bitnet", "bloom", "chameleon", "chatglm"}
    | {"codeshell", "cogvlm", "command-r", "dbrx", "deci", "deepseek", "deepseek2", "deepseek2-ocr", "dots1"}
    | {"ernie4_5", "ernie4_5-moe", "exaone", "falcon", "gemma", "glm4", "glm4moe", "gpt2", "gptj", "gptneox"}
    | {"granite", "granitemoe", "grok", "grovemoe", "hunyuan-dense", "hunyuan-moe", "hunyuan_vl", "hy_v3"}
    | {"internlm2", "jais", "jais2", "llama", "llama-embed", "maincoder", "minicpm", "minicpm3", "minimax-m2"}
    | {"mistral3", "mistral4", "mpt", "nemotron", "olmo", "olmoe", "openelm", "orion", "paddleocr", "pangu-embedded"}
    | {"phi2", "phi3", "phimoe", "plamo", "plm", "qwen", "qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen3moe"}
    | {"qwen3vl", "qwen3vlmoe", "refact", "seed_oss", "smollm3", "stablelm", "starcoder", "starcoder2", "xverse"}
)
# Only the largest EXAONE 4 has a window.
EXAONE4_LAYERS = 64
SMALLTHINKER_WINDOW = 4096
# No layer has keys and values.
RECURRENT = frozenset({"arwkv7", "mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7"})
# Attention on every n-th layer, `full_attention_interval`, 4 by default; the others are recurrent.
INTERVAL = frozenset({"qwen35", "qwen35moe", "qwen3next"})
DEFAULT_INTERVAL = 4
# Layers without heads for keys and values are recurrent.
BY_HEADS = frozenset(
    {"granitehybrid", "jamba", "kimi-linear", "lfm2", "lfm2moe", "nemotron_h", "nemotron_h_moe", "plamo2"}
)
# Layers with a feed-forward part keep nothing at all.
NEMOTRON = frozenset({"nemotron_h", "nemotron_h_moe"})
# Every layer has attention and a recurrent state.
BOTH = frozenset({"falcon-h1"})
# The layers that guess further tokens (`nextn_predict_layers`) have no cache of their own.
WITHOUT_NEXT_TOKEN_LAYERS = frozenset({"hy_v3", "mimo2", "step35"}) | INTERVAL | NEMOTRON
GEMMA3N_LAYERS_WITH_CACHE = 20
# Encoders and diffusion models: they keep nothing from token to token.
WITHOUT_CACHE = frozenset(
    {"bert", "dream", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "llada", "llada-moe"}
    | {"modern-bert", "neo-bert", "nomic-bert", "nomic-bert-moe", "rnd1"}
)
# All that can be planned. Any other architecture is refused, because it may keep more, or keep it otherwise:
# deepseek4, glm-dsa, minimax-01 and t5, for instance, and whatever a later llama.cpp adds.
KNOWN = FULL | WINDOWS.keys() | RECURRENT | INTERVAL | BY_HEADS | BOTH | WITHOUT_CACHE
# They have a dense feed-forward part as well, although the metadata has no leading dense layers.
DENSE_BESIDE_EXPERTS = frozenset({"gemma4", "llama4"})
# The input's table, where it is the output's too, is loaded a second time on the CPU as well.
TABLE_TWICE = frozenset({"gemma3n", "gemma4"})
# Ollama serves them with one slot, whatever OLLAMA_NUM_PARALLEL says; embedding models too.
ONE_SLOT = frozenset(
    {"gemma-embedding", "lfm2", "lfm2moe", "nemotron_h", "nemotron_h_moe", "qwen35", "qwen35moe", "qwen3next"}
    | {"qwen3vl", "qwen3vlmoe"}
)
