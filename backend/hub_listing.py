"""Asks the hub what a repository holds: run as a process of its own, since Atelier's server never lets the hub's library go online.

It reads {"repository", "endpoint", "token"} from its input as JSON, and writes the answer of `listed` to its output.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

INDEX = "model_index.json"
TIMEOUT_S = 20.0


def listed(repository: str, endpoint: str, token: str) -> dict[str, Any]:
    """Commit, licence, files with addresses and hashes, and the parts of a diffusers folder; or {"error": reason}."""
    from huggingface_hub import HfApi, hf_hub_url
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    api = HfApi(endpoint=endpoint, token=token or False)
    try:
        info = api.model_info(repository, files_metadata=True, timeout=TIMEOUT_S)
        files = [
            {
                "path": one.rfilename, "bytes": one.size,
                "sha256": one.lfs.sha256 if one.lfs else "", "git_sha1": "" if one.lfs else one.blob_id or "",
                "address": hf_hub_url(repository, one.rfilename, revision=info.sha, endpoint=endpoint),
            }
            for one in info.siblings or ()
        ]  # fmt: skip
        parts: dict[str, Any] = {}
        if any(file["path"] == INDEX for file in files):
            with TemporaryDirectory() as folder:
                parts = json.loads(Path(api.hf_hub_download(repository, INDEX, revision=info.sha, local_dir=folder)).read_text("utf-8"))
    except GatedRepoError:
        return {"error": "gated"}
    except RepositoryNotFoundError:
        return {"error": "unknown"}
    except HfHubHTTPError as error:
        return {"error": "refused", "status": error.response.status_code if error.response is not None else 0}
    card = info.card_data.to_dict() if info.card_data else {}
    licence = card.get("license_name") or card.get("license") or ""
    return {"commit": info.sha, "files": files, "parts": parts, "gated": bool(info.gated), "licence": str(licence)}


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump(listed(asked["repository"], asked["endpoint"], asked["token"]), sys.stdout)
