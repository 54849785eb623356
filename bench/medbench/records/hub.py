"""Results on the Hugging Face hub: a bundle is a dataset repository."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from medbench.errors import MedbenchError
from medbench.progress import say
from medbench.records.bundle import SUMMARY, Bundle, write_bundle
from medbench.records.merge import Merged, merge
from medbench.storage.fetch import ask_hub

PAGE = """---
configs:
- config_name: records
  data_files: {summary}
tags: [medbench]
---
# Results of medbench

{n} records on {sets}. `runs/` has each record and its predictions as they were written, `manifest.json` the sha256 of
each file, and `{summary}` one row for each record. It contains no images.

    medbench results pull {repo}
    medbench table dataset/{first}
"""


@dataclass(frozen=True)
class Pushed:
    """Results that were uploaded.

    Attributes:
        bundle: What was uploaded.
        commit: Of the repository.
    """

    bundle: Bundle
    commit: str


def push(runs: Path, repo: str, datasets: str = "*", *, public: bool = False, predictions: bool = True) -> Pushed:
    """Upload the finished units of a run store as a dataset repository, which is made if there is none.

    Args:
        runs: The run store.
        repo: OWNER/NAME.
        datasets: A glob: only data sets of such names.
        public: Whether everybody can see a repository that is made; one that is there stays as it is.
        predictions: Whether to include the predictions, which name the images and patients of the test set.

    Raises:
        MedbenchError: Nothing was run on such data sets; or the name has no owner, there is no token, no right to
            write, or no network.
    """
    from huggingface_hub import HfApi

    if "/" not in repo:  # the hub would make a repository of the token's owner, and not find it by this name
        raise MedbenchError(f"'{repo}' has no owner", "give OWNER/NAME")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        bundle = write_bundle(runs, folder, datasets, predictions=predictions)
        if bundle.named:  # said before anything is sent, so that there is time to stop
            say(f"predictions with ids of images and patients are uploaded for: {', '.join(bundle.named)}")
        sets = sorted({record.unit.dataset for record in bundle.records})
        text = PAGE.format(n=len(bundle.records), sets=", ".join(sets), summary=SUMMARY, repo=repo, first=sets[0])
        (folder / "README.md").write_text(text, encoding="utf-8")

        def send() -> str:
            api, told = HfApi(), f"{len(bundle.records)} records"
            api.create_repo(repo, repo_type="dataset", private=not public, exist_ok=True)
            done = api.upload_folder(repo_id=repo, folder_path=folder, repo_type="dataset", commit_message=told)
            return str(done.oid)

        return Pushed(bundle, ask_hub(send, repo, "log in with a token that has write access: hf auth login"))


def pull(repo: str, runs: Path, *, theirs: bool = False) -> Merged:
    """Download a repository of results and take them over, as `merge` does.

    Args:
        repo: OWNER/NAME, or OWNER/NAME@REVISION.
        runs: The run store that gets them.
        theirs: Where both have a record with other numbers, take theirs.

    Raises:
        MedbenchError: There is no such repository, no right to read it, no network, or no record in it.
    """
    from huggingface_hub import HfApi

    name, _, revision = repo.partition("@")
    with tempfile.TemporaryDirectory() as place:

        def fetch() -> str:
            commit = str(HfApi().repo_info(name, revision=revision or None, repo_type="dataset").sha)
            HfApi().snapshot_download(name, repo_type="dataset", revision=commit, local_dir=place)
            return commit

        commit = ask_hub(fetch, repo, "check the name: OWNER/NAME; for a private one: hf auth login")
        return merge(Path(place), runs, f"hf://{name}@{commit[:12]}", theirs=theirs)
