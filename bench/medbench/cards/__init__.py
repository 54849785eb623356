"""Cards: models, data sets, protocols, papers and studies as checked YAML files."""

from medbench.cards.dataset import DatasetCard
from medbench.cards.find import (
    card_files,
    expand,
    find_dataset,
    find_model,
    find_paper,
    find_protocol,
    find_study,
    names,
)
from medbench.cards.load import load_card
from medbench.cards.model import ModelCard
from medbench.cards.paper import PaperCard
from medbench.cards.protocol import ProtocolCard
from medbench.cards.recipes import SETTINGS, Settings
from medbench.cards.study import StudyCard

__all__ = [
    "SETTINGS",
    "DatasetCard",
    "ModelCard",
    "PaperCard",
    "ProtocolCard",
    "Settings",
    "StudyCard",
    "card_files",
    "expand",
    "find_dataset",
    "find_model",
    "find_paper",
    "find_protocol",
    "find_study",
    "load_card",
    "names",
]
