"""`ops quality`: what a quantised KV cache changes in a model's answers, held against f16."""
