"""Cards: models, data sets, protocols and papers as checked YAML files."""

from medbench.cards.dataset import DatasetCard
from medbench.cards.find import card_files, expand, find_dataset, find_model, find_paper, find_protocol, names
from medbench.cards.load import load_card
from medbench.cards.model import ModelCard
from medbench.cards.paper import PaperCard
from medbench.cards.protocol import ProtocolCard
from medbench.cards.recipes import SETTINGS, Settings

__all__ = [
    "SETTINGS",
    "DatasetCard",
    "ModelCard",
    "PaperCard",
    "ProtocolCard",
    "Settings",
    "card_files",
    "expand",
    "find_dataset",
    "find_model",
    "find_paper",
    "find_protocol",
    "load_card",
    "names",
]
