"""Text towers of vision-language pairs, and their tokenizers."""

from __future__ import annotations

from medbench.models.text.tower import TextEncoder, load_text

__all__ = ["TextEncoder", "load_text"]
