"""Few-shot adapters of vision-language models, on stored features: one module each."""
