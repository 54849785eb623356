"""Protocols of few-shot adapters: one module each. Only validation is ever chosen on."""
