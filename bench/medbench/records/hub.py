"""Results on the Hugging Face hub: a bundle is a dataset repository."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from medbench.progress import say
from medbench.records.bundle import SUMMARY, Bundle, write_bundle
from medbench.records.merge import Merged, merge
from medbench.storage import paths
from medbench.storage.fetch import ask_hub

PAGE = """---
configs:
- config_name: records
  data_files: {summary}
tags: [medbench]
---
# Results of medbench

{n} records on {sets}. `runs/` holds each record and its predictions as they were written, `manifest.json` the sha256 of
each file, and `{summary}` one row for each record. There are no images in it.

    medbench results pull {repo}
    medbench table dataset/{first}
"""


def push_results(
    repo: str, dataset: str = "*", runs: Path | None = None, *, public: bool = False, predictions: bool = True
) -> Bundle:
    """Upload records and predictions to a dataset repository, which is made if there is none; return what was sent.

    Args:
        repo: OWNER/NAME.
        dataset: A glob: only data sets of such names.
        runs: The run store; None: `MEDBENCH_RUNS` or `results/runs`.
        public: Whether everybody can see a repository that is made; one that is there stays as it is.
        predictions: Whether to send the predictions, with the ids of images and patients.

    Raises:
        MedbenchError: Nothing was run, or there is no token, no right to write, or no network.
    """
    from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory() as place:
        made = write_bundle(paths.runs_dir(runs), Path(place), dataset, predictions=predictions)
        if made.named:
            say(f"ids of images and patients are in the predictions on: {', '.join(made.named)}")
        n, sets = len(made.records), sorted({record.unit.dataset for record in made.records})
        text = PAGE.format(n=n, sets=", ".join(sets), summary=SUMMARY, repo=repo, first=sets[0])
        Path(place, "README.md").write_text(text, encoding="utf-8")

        def send() -> str:
            api = HfApi()
            api.create_repo(repo, repo_type="dataset", private=not public, exist_ok=True)
            done = api.upload_folder(
                repo_id=repo, folder_path=place, repo_type="dataset", commit_message=f"{n} records"
            )
            return str(done.oid)

        return replace(made, commit=ask_hub(send, repo, "log in with a token that can write: hf auth login"))


def pull_results(repo: str, runs: Path | None = None, *, theirs: bool = False) -> Merged:
    """Download a repository of results, take its records over and say what became of them; see `merge`.

    Args:
        repo: OWNER/NAME, or OWNER/NAME@REVISION.
        runs: The run store that gets them; None: `MEDBENCH_RUNS` or `results/runs`.
        theirs: Where both have a record with other numbers, take theirs.

    Raises:
        MedbenchError: There is no such repository, no right to read it, or no network; or it holds no records.
    """
    from huggingface_hub import HfApi

    name, _, revision = repo.partition("@")
    with tempfile.TemporaryDirectory() as place:

        def fetch() -> str:
            commit = str(HfApi().repo_info(name, revision=revision or None, repo_type="dataset").sha)
            HfApi().snapshot_download(name, repo_type="dataset", revision=commit, local_dir=place)
            return commit

        commit = ask_hub(fetch, repo, "check the name: OWNER/NAME; for a private one: hf auth login")
        return merge(Path(place), paths.runs_dir(runs), f"hf://{name}@{commit[:12]}", theirs=theirs)
