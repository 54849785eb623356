"""Prompts: the texts that stand for a class in zero-shot classification, as cards (`card`) and for one data set."""
