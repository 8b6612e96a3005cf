"""A model's metadata and tensors, read into what decides its memory; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ops.gguf_file import Tensor, quantization
from ops.plan import architectures as known
from ops.plan.dialects import translated
from ops.plan.layers import Layer, layers_of, window_of
from ops.plan.metadata import Fields, ShapeUnknown

# Tensors of older files that hold an image's or a sound's encoder beside the text's weights begin so.
PROJECTOR = ("v.", "mm.", "a.", "mm_")
# The input layer stays in the host's memory (llama.cpp, `load_tensors`).
HOST_TENSORS = ("token_embd.", "per_layer_token_embd.", "token_types.", "position_embd.")


@dataclass(frozen=True, slots=True)
class ModelShape:
    """All of a model that its memory depends on; sizes in bytes, widths in numbers."""

    name: str
    architecture: str
    quantization: str
    trained_context: int
    layers: tuple[Layer, ...]
    # Tokens that a layer with a window looks back; 0 where there is none.
    window: int
    heads: int
    embedding_width: int
    # Numbers for each token of a batch that live at once in the widest place of the graph.
    working_width: int
    vocabulary: int
    weight_bytes: int
    # Of the weights: those that stay in the host's memory when the rest is on a GPU.
    host_bytes: int
    # The input layer's table that is on the GPU a second time, as the output layer's, where both are one.
    duplicated_bytes: int
    projector_bytes: int
    # Numbers for each token by Ollama's own rough guess of keys, or values, of all layers: it decides the batch.
    guessed_width: int
    # Ollama gives it one slot, whatever OLLAMA_NUM_PARALLEL says.
    has_one_slot: bool

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


def model_shape(
    fields: Mapping[str, Any], tensors: Iterable[Tensor], name: str, projector_bytes: int = 0
) -> ModelShape:
    """Return the shape of the model with this metadata.

    Raises:
        ShapeUnknown: a number is missing, or the architecture keeps what is not counted here.

    """
    every = list(tensors)
    try:
        of = Fields(translated(fields, every))
        return _model_shape(of, fields.get("general.file_type"), every, name, projector_bytes)
    except (ValueError, TypeError, IndexError, ArithmeticError) as error:
        raise ShapeUnknown(f"its metadata does not go together ({error}); download or pull it again") from error


def _model_shape(of: Fields, file_type: Any, every: list[Tensor], name: str, projector_bytes: int) -> ModelShape:
    if of.architecture not in known.KNOWN:
        raise ShapeUnknown(
            f"ops plan does not know what the architecture {of.architecture} keeps in memory; load the model in Ollama "
            "with the context and slots that you want, and read `size` in /api/ps"
        )
    text = [each for each in every if not each.name.startswith(PROJECTOR)]
    host = [each for each in text if each.name.startswith(HOST_TENSORS)]
    table = next((each for each in host if each.name == "token_embd.weight"), Tensor("", 0, (0,)))
    is_tied = not any(each.name.startswith("output.") for each in text)
    is_twice = is_tied and of.architecture in known.TABLE_TWICE
    weights = _size(text)
    window = window_of(of)
    return ModelShape(
        name=name,
        architecture=of.architecture,
        quantization=quantization(file_type),
        trained_context=of.whole("context_length"),
        layers=layers_of(of, window),
        window=window,
        heads=of.whole("attention.head_count", 0),
        embedding_width=of.whole("embedding_length"),
        working_width=_working_width(of),
        vocabulary=table.shape[-1],
        weight_bytes=weights + (table.size_bytes if is_twice else 0),
        host_bytes=_size(host),
        duplicated_bytes=table.size_bytes if is_tied and not is_twice else 0,
        projector_bytes=projector_bytes + _size(every) - weights,
        guessed_width=_guessed_width(of),
        has_one_slot=of.architecture in known.ONE_SLOT or of.get("pooling_type") is not None,
    )


def _size(tensors: Iterable[Tensor]) -> int:
    return sum(each.size_bytes for each in tensors)


def _guessed_width(of: Fields) -> int:
    """Return layers x fewest heads for keys x embedding / heads (Ollama, `PredictServerVRAM`)."""
    heads, heads_kv = of.heads()
    head = of.whole("embedding_length") // max(heads) if max(heads) else 0
    return of.count * (min(heads_kv) or 1) * head


def _working_width(of: Fields) -> int:
    """Return the widest of the graph's places: the feed-forward, an MLA's heads spread out, a recurrent layer.

    Read off the graphs that llama.cpp reserves (benchmarks/plan.py holds it against them): up, gate and their product;
    one row of experts for each that is used; the stream itself four times over.
    """
    embedding = of.whole("embedding_length")
    dense = of.whole("feed_forward_length", 0)
    used, expert = of.whole("expert_used_count", 0), of.whole("expert_feed_forward_length", dense)
    places = [used * max(3 * expert, expert + embedding), 2 * embedding]
    if not used or of.whole("leading_dense_block_count", 0) or of.architecture in known.DENSE_BESIDE_EXPERTS:
        places.append(3 * dense)
    heads = of.whole("attention.head_count", 0)
    if rank := of.whole("attention.kv_lora_rank", 0):
        spread = of.whole("attention.key_length", 0) + rank + of.whole("attention.key_length_mla", 0)
        places.append(heads * spread)
    if inner := of.whole("ssm.inner_size", 0):
        mixed = 4 * of.whole("ssm.group_count", 0) * of.whole("ssm.state_size", 0)
        places.append(6 * inner + mixed - 3 * embedding)
    return max(places) + 4 * embedding
