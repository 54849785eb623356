"""A Hugging Face hub on this machine: what its library asks for of models and data sets."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Hub:
    """The repositories.

    Attributes:
        url: Address.
        files: Repository -> path -> content.
        asked: Method and path of each request.
        token: The only token that may read and write; None: everybody may.
    """

    url: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    token: str | None = None

    def commit(self, repo: str) -> str:
        """Return the id of the present state of a repository."""
        content = sorted((path, hashlib.sha1(data).hexdigest()) for path, data in self.files[repo].items())
        return hashlib.sha1(repr(content).encode()).hexdigest()


def answer(hub: Hub, method: str, path: str, body: bytes) -> tuple[int, Any, dict[str, str]]:
    """Return status, body and headers for a request."""
    path, _, query = path.partition("?")
    if path == "/api/validate-yaml":
        return 200, {"errors": [], "warnings": []}, {}
    if path == "/api/repos/create":
        asked = json.loads(body)
        repo = f"{asked.get('organization') or 'me'}/{asked['name']}"
        there = repo in hub.files
        hub.files.setdefault(repo, {})
        return (409 if there else 200), {"url": f"{hub.url}/datasets/{repo}"}, {}
    if match := re.fullmatch(r"/api/(?:datasets|models)/([^/]+/[^/]+)/(\w+)/.*", path):
        repo, what = match.groups()
        if repo not in hub.files:
            return 404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
        if what == "preupload":
            wanted = json.loads(body)["files"]
            plain = [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in wanted]
            return 200, {"files": plain}, {}
        if what == "commit":
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    hub.files[repo][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            oid = hub.commit(repo)
            return 200, {"commitUrl": f"{hub.url}/datasets/{repo}/commit/{oid}", "commitOid": oid}, {}
        if what == "tree":
            return (
                200,
                tree(hub.files[repo], path.partition("/tree/")[2].partition("/")[2], "recursive=true" in query),
                {},
            )
        return 200, {"id": repo, "sha": hub.commit(repo), "siblings": [{"rfilename": f} for f in hub.files[repo]]}, {}
    if match := re.fullmatch(r"/api/(?:datasets|models)/([^/]+/[^/]+)", path):
        if (repo := match[1]) not in hub.files:
            return 404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
        return 200, {"id": repo, "sha": hub.commit(repo), "siblings": [{"rfilename": f} for f in hub.files[repo]]}, {}
    if match := re.fullmatch(r"(?:/datasets)?/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
        if match[1] not in hub.files:
            return 404, b"", {"X-Error-Code": "RepoNotFound"}
        if match[3] not in hub.files[match[1]]:
            return 404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": hub.commit(match[1])}
        data = hub.files[match[1]][match[3]]
        tag = f'"{hashlib.sha1(data).hexdigest()}"'
        return 200, data, {"ETag": tag, "X-Repo-Commit": hub.commit(match[1])}
    return 404, {"error": f"{method} {path}"}, {}


def tree(files: dict[str, bytes], folder: str, recursive: bool) -> list[dict[str, Any]]:
    """Return what is in a folder of a repository: files, and folders unless it is recursive."""
    start = f"{folder}/" if folder else ""
    rows, folders = [], set()
    for name, data in files.items():
        inside = name.removeprefix(start)
        if name.startswith(start) and (recursive or "/" not in inside):
            oid = hashlib.sha1(data).hexdigest()
            rows.append({"type": "file", "path": name, "size": len(data), "oid": oid})
        elif name.startswith(start):
            folders.add(start + inside.partition("/")[0])
    return rows + [{"type": "directory", "path": name, "oid": name, "size": 0} for name in sorted(folders)]


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """Run a hub while the block runs."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def handled(self) -> None:
            hub.asked.append(f"{self.command} {self.path}")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, content, headers = answer(hub, self.command, self.path, body)
            if (
                hub.token is not None
                and self.headers.get("Authorization") != f"Bearer {hub.token}"
                and "api" in self.path
            ):
                status, content, headers = 401, {"error": "Invalid username or password."}, {}
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = handled  # noqa: N815
        do_HEAD = handled  # noqa: N815
        do_POST = handled  # noqa: N815

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        hub.url = f"http://127.0.0.1:{running.server_address[1]}"
        yield hub
        running.shutdown()
        thread.join()
