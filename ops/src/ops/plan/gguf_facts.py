"""A model's metadata and tensors, read into what decides its memory; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ops.plan import architectures as known

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PROJECTOR = ("v.", "mm.", "a.", "mm_")
"""Tensors of older files that hold an image's or a sound's encoder beside the text's weights begin so."""
HOST_TENSORS = ("token_embd.", "per_layer_token_embd.", "token_types.", "position_embd.")
"""The input layer stays in the host's memory (llama.cpp, `load_tensors`)."""


class ShapeUnknown(Exception):
    """The file is no model that can be planned; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer keeps: numbers for each token, in the KV cache's type, and a state of floats for each slot."""

    key_width: int = 0
    value_width: int = 0
    state_width: int = 0
    """32-bit floats, of a fixed number: recurrent layers have these in place of keys and values."""
    is_window: bool = False


@dataclass(frozen=True, slots=True)
class ModelShape:
    """All of a model that its memory depends on; sizes in bytes, widths in numbers."""

    name: str
    architecture: str
    quantization: str
    trained_context: int
    layers: tuple[Layer, ...]
    window: int
    """Tokens that a layer with a window looks back; 0 where there is none."""
    heads: int
    embedding_width: int
    working_width: int
    """Numbers for each token of a batch that live at once in the widest place of the graph."""
    vocabulary: int
    weight_bytes: int
    host_bytes: int
    """Of the weights: those that stay in the host's memory when the rest is on a GPU."""
    duplicated_bytes: int
    """The input layer's table that is on the GPU a second time, as the output layer's, where both are one."""
    projector_bytes: int
    has_one_slot: bool
    """Ollama gives it one slot, whatever it is told."""

    @property
    def attention(self) -> str:
        """The ways of keeping what was read, in the field's words."""
        widths = [layer for layer in self.layers if layer.key_width]
        kinds = []
        if widths:
            latent = all(not layer.value_width for layer in widths)
            full = sum(not layer.is_window for layer in widths)
            kinds.append(f"latent (MLA) on {full} layers" if latent else f"full on {full} layers")
        if windowed := sum(layer.is_window for layer in widths):
            kinds.append(f"window of {self.window} on {windowed}")
        if states := sum(bool(layer.state_width) for layer in self.layers):
            kinds.append(f"recurrent on {states}")
        if shared := sum(not (layer.key_width or layer.state_width) for layer in self.layers):
            kinds.append(f"nothing kept on {shared}")
        return ", ".join(kinds)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's name and its size in the file."""

    name: str
    size_bytes: int


class Fields:
    """The metadata of one architecture, under its prefix; arrays by layer are read as such."""

    def __init__(self, fields: Mapping[str, Any], layers: int = 0) -> None:
        self._fields = fields
        self.architecture = self.text("general.architecture")
        self.count = layers or self.whole("block_count")

    def text(self, name: str, default: str | None = None) -> str:
        """Return a whole name's text."""
        found = self._fields.get(name, default)
        if not isinstance(found, str):
            raise ShapeUnknown(f"its metadata has no {name}; is this a language model's GGUF?")
        return found

    def get(self, name: str) -> Any:
        """Return a field of the architecture, or None."""
        return self._fields.get(f"{self.architecture}.{name}")

    def whole(self, name: str, default: int | None = None) -> int:
        """Return a number; of an array the largest."""
        found = self.get(name)
        if isinstance(found, (list, tuple)) and found:
            found = max(found)
        found = default if found is None else found
        if not isinstance(found, (int, float)):
            raise ShapeUnknown(f"its metadata has no {self.architecture}.{name}; the file is damaged or of another kind")
        return int(found)

    def by_layer(self, name: str, default: int | None = None) -> list[int]:
        """Return a number for each layer: the array's, or the same for all."""
        found = self.get(name)
        if isinstance(found, (list, tuple)):
            return [int(each) for each in found] + [int(found[-1])] * (self.count - len(found))
        return [self.whole(name, default)] * self.count


def model_shape(fields: Mapping[str, Any], tensors: Iterable[Tensor], name: str, projector_bytes: int = 0) -> ModelShape:
    """Return the shape of the model with this metadata.

    Raises:
        ShapeUnknown: a number is missing, or the architecture keeps what is not counted here.

    """
    of = Fields(fields)
    if of.architecture in known.UNCOUNTED:
        raise ShapeUnknown(f"the architecture {of.architecture} keeps more than is counted here; measure it instead")
    inner = list(tensors)
    text = [each for each in inner if not each.name.startswith(PROJECTOR)]
    host = [each for each in text if each.name.startswith(HOST_TENSORS)]
    table = sum(each.size_bytes for each in host if each.name.startswith("token_embd."))
    is_tied = not any(each.name.startswith("output.") for each in text)
    inline = sum(each.size_bytes for each in inner) - sum(each.size_bytes for each in text)
    window = _window(of)
    return ModelShape(
        name=name,
        architecture=of.architecture,
        quantization=str(fields.get("general.file_type", "")),
        trained_context=of.whole("context_length"),
        layers=_layers(of, window),
        window=window,
        heads=of.whole("attention.head_count", 0),
        embedding_width=of.whole("embedding_length"),
        working_width=_working_width(of),
        vocabulary=len(fields.get("tokenizer.ggml.tokens") or ()) or of.whole("vocab_size", 0),
        weight_bytes=sum(each.size_bytes for each in text),
        host_bytes=sum(each.size_bytes for each in host),
        duplicated_bytes=table if is_tied else 0,
        projector_bytes=projector_bytes + inline,
        has_one_slot=of.architecture in known.ONE_SLOT or of.get("pooling_type") is not None,
    )


def _window(of: Fields) -> int:
    """Return the window in tokens; 0 where the architecture has none."""
    rule = known.WINDOWS.get(of.architecture)
    told = of.whole("attention.sliding_window", 0)
    if of.architecture in {"lfm2", "lfm2moe"}:
        return told
    if rule is None or (of.architecture == "exaone4" and of.count != known.EXAONE4_LAYERS):
        return 0
    if of.architecture == "smallthinker":
        return known.SMALLTHINKER_WINDOW if told else 0
    if rule.is_fixed:
        return 0 if of.get("attention.sliding_window") == 0 else rule.tokens or 0
    return told or rule.tokens or 0


def _windowed(of: Fields, window: int) -> list[bool]:
    """Return for each layer whether it looks back no further than the window."""
    if not window:
        return [False] * of.count
    if of.architecture in {"lfm2", "lfm2moe"}:
        return [bool(heads) for heads in of.by_layer("attention.head_count_kv", 0)]
    told, rule = of.get("attention.sliding_window_pattern"), known.WINDOWS[of.architecture]
    if isinstance(told, (list, tuple)):
        return [bool(each) for each in told] + [False] * (of.count - len(told))
    period = int(told) if told is not None else rule.period
    full = 0 if rule.is_full_first else period - 1
    return [period == 0 or layer % period != full for layer in range(of.count)]


def _layers(of: Fields, window: int) -> tuple[Layer, ...]:
    if of.architecture in known.WITHOUT_CACHE:
        return (Layer(),) * of.count
    heads = of.by_layer("attention.head_count", 0)
    heads_kv = of.by_layer("attention.head_count_kv") if of.get("attention.head_count_kv") is not None else heads
    windowed, recurrent = _windowed(of, window), _recurrent(of, heads_kv)
    default = of.whole("embedding_length") // max(heads) if max(heads) else 0
    full = [of.whole(f"attention.{name}_length", default) for name in ("key", "value")]
    narrow = [of.whole(f"attention.{name}_length_swa", width) for name, width in zip(("key", "value"), full, strict=True)]
    is_latent = bool(of.whole("attention.key_length_mla", 0))
    kept, state = _kept(of), _state_width(of)
    found = []
    for layer in range(of.count):
        keys, values = narrow if windowed[layer] else full
        has_keys = kept[layer] and (not recurrent[layer] or of.architecture in known.BOTH)
        found.append(
            Layer(
                key_width=keys * heads_kv[layer] if has_keys else 0,
                value_width=values * heads_kv[layer] if has_keys and not is_latent else 0,
                state_width=state if recurrent[layer] and kept[layer] else 0,
                is_window=windowed[layer] and has_keys,
            )
        )
    return tuple(found)


def _kept(of: Fields) -> list[bool]:
    """Return for each layer whether it keeps anything of its own."""
    guessing = of.whole("nextn_predict_layers", 0) if of.architecture in known.WITHOUT_NEXT_TOKEN_LAYERS else 0
    first = of.count - guessing
    if of.architecture == "gemma3n":
        first = known.GEMMA3N_LAYERS_WITH_CACHE
    elif of.architecture == "gemma4":
        first = of.count - of.whole("attention.shared_kv_layers", 0)
    kept = [layer < first for layer in range(of.count)]
    if of.architecture in known.NEMOTRON:
        return [each and not ff for each, ff in zip(kept, of.by_layer("feed_forward_length", 0), strict=True)]
    return kept


def _recurrent(of: Fields, heads_kv: list[int]) -> list[bool]:
    if of.architecture in known.RECURRENT | known.BOTH:
        return [True] * of.count
    if of.architecture in known.BY_HEADS:
        return [not heads for heads in heads_kv]
    if of.architecture in known.INTERVAL:
        told = of.get("attention.recurrent_layers")
        if isinstance(told, (list, tuple)):
            return [bool(each) for each in told]
        interval = of.whole("full_attention_interval", known.DEFAULT_INTERVAL)
        return [(layer + 1) % interval != 0 for layer in range(of.count)]
    return [False] * of.count


def _state_width(of: Fields) -> int:
    """Return the floats that a recurrent layer keeps for each sequence: its convolution's tail and its state."""
    embedding = of.whole("embedding_length")
    if head := of.whole("wkv.head_size", 0):
        return of.whole("token_shift_count", 2) * embedding + embedding * head
    if tail := of.whole("shortconv.l_cache", 0):
        return embedding * (tail - 1)
    convolution, inner = of.whole("ssm.conv_kernel", 0), of.whole("ssm.inner_size", 0)
    if head := of.whole("kda.head_dim", 0):
        heads = of.whole("attention.head_count")
        return 3 * max(convolution - 1, 0) * heads * head + head * head * heads
    state, groups = of.whole("ssm.state_size", 0), of.whole("ssm.group_count", 0)
    return max(convolution - 1, 0) * (inner + 2 * groups * state) + state * inner


def _working_width(of: Fields) -> int:
    """Return the widest of the graph's places: the feed-forward, an MLA's heads spread out, a recurrent layer.

    Read off the graphs that llama.cpp reserves (benchmarks/plan.py holds it against them): up, gate and their product;
    one row of experts for each that is used; the stream itself four times over.
    """
    embedding = of.whole("embedding_length")
    used, expert = of.whole("expert_used_count", 0), of.whole("expert_feed_forward_length", 0)
    places = [3 * of.whole("feed_forward_length", 0), used * max(3 * expert, expert + 2 * embedding)]
    heads = of.whole("attention.head_count", 0)
    if rank := of.whole("attention.kv_lora_rank", 0):
        spread = of.whole("attention.key_length", 0) + rank + of.whole("attention.key_length_mla", 0)
        places.append(heads * spread)
    if inner := of.whole("ssm.inner_size", 0):
        mixed = 4 * of.whole("ssm.group_count", 0) * of.whole("ssm.state_size", 0)
        places.append(6 * inner + mixed - 3 * embedding)
    return max(places) + 4 * embedding
