"""Protocols of few-shot adapters: one module each. All choices are made on validation."""
