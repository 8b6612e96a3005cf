"""`ops plan`: what a model needs, what a GPU holds, how many requests at once, and what it costs."""
