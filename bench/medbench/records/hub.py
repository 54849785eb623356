"""Results on the Hugging Face hub: a bundle is a dataset repository."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from medbench.errors import MedbenchError, first_line
from medbench.records.bundle import SUMMARY, Bundle
from medbench.storage.fetch import FetchError, reach_hub

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


def push(folder: Path, bundle: Bundle, repo: str, *, public: bool = False) -> str:
    """Upload a bundle as a dataset repository, which is made if there is none; return the commit.

    Args:
        folder: The bundle's folder; a page for the repository is written into it.
        bundle: What is in it.
        repo: OWNER/NAME.
        public: Whether everybody can see a repository that is made; one that is there stays as it is.

    Raises:
        MedbenchError: There is no token, no right to write, or no network.
    """
    from huggingface_hub import HfApi

    sets = sorted({record.unit.dataset for record in bundle.records})
    text = PAGE.format(n=len(bundle.records), sets=", ".join(sets), summary=SUMMARY, repo=repo, first=sets[0])
    (folder / "README.md").write_text(text, encoding="utf-8")
    with _told(repo, "log in with a token that has write access: hf auth login"):
        api = HfApi()
        api.create_repo(repo, repo_type="dataset", private=not public, exist_ok=True)
        done = api.upload_folder(
            repo_id=repo, folder_path=folder, repo_type="dataset", commit_message=f"{len(bundle.records)} records"
        )
    return str(done.oid)


def pull(repo: str, to: Path) -> str:
    """Download a repository of results to a folder; return `OWNER/NAME@COMMIT`.

    Args:
        repo: OWNER/NAME, or OWNER/NAME@REVISION.
        to: The folder.

    Raises:
        MedbenchError: There is no such repository, no right to read it, or no network.
    """
    from huggingface_hub import HfApi

    name, _, revision = repo.partition("@")
    with _told(repo, "check the name; for a private one: hf auth login"):
        commit = HfApi().repo_info(name, revision=revision or None, repo_type="dataset").sha
        HfApi().snapshot_download(name, repo_type="dataset", revision=commit, local_dir=to)
    return f"{name}@{str(commit)[:12]}"


@contextlib.contextmanager
def _told(repo: str, hint: str) -> Iterator[None]:
    """Turn the errors of the hub's library into one of two lines."""
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        reach_hub()
        yield
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise MedbenchError(
            f"the dataset repository {repo} does not exist on the hub, or you have no access", hint
        ) from error
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, FetchError, OSError) as error:
        raise MedbenchError(f"{repo} on the Hugging Face hub: {first_line(error)}", hint) from error
