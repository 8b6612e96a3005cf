"""What each layer of a model keeps of the tokens that it read, by the rules of its architecture; pure."""

from __future__ import annotations

from dataclasses import dataclass

from ops.plan import architectures as known
from ops.plan.metadata import Fields


@dataclass(frozen=True, slots=True)
class Layer:
    """What one layer keeps: numbers for each token, in the KV cache's type, and a state of floats for each slot."""

    key_width: int = 0
    value_width: int = 0
    # 32-bit floats, of a fixed number: recurrent layers have these in place of keys and values.
    state_width: int = 0
    is_window: bool = False


def window_of(of: Fields) -> int:
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


def layers_of(of: Fields, window: int) -> tuple[Layer, ...]:
    """Return what each layer keeps."""
    if of.architecture in known.WITHOUT_CACHE:
        return (Layer(),) * of.count
    heads, heads_kv = of.heads()
    windowed, recurrent = _windowed(of, window), _recurrent(of, heads_kv)
    default = of.whole("embedding_length") // max(heads) if max(heads) else 0
    full = [of.whole(f"attention.{name}_length", default) for name in ("key", "value")]
    narrow = [
        of.whole(f"attention.{name}_length_swa", width) for name, width in zip(("key", "value"), full, strict=True)
    ]
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
