"""timm's weights on the Hugging Face hub: safetensors only, and a quick answer where the hub is out of reach.

huggingface_hub keeps what it fetched in its own cache (HF_HOME) and honours HF_HUB_OFFLINE and HF_ENDPOINT.
"""

from __future__ import annotations

import urllib.request
from pathlib import Path

from pneumoscope.nets.architectures import timm_library

PROBE_TIMEOUT_S = 5.0
FILE = "model.safetensors"  # the hub also holds pickles of the same weights: never asked for


class HubError(Exception):
    """The hub does not give the file; the message says why in a few words."""


def hub_file(timm_name: str) -> tuple[Path, str]:
    """The file of timm's own weights, fetched or from huggingface_hub's cache, and its id on the hub.

    Raises:
        HubError: the hub is offline, out of reach, or has no safetensors file of this network.
    """
    timm = timm_library()  # before huggingface_hub, which it silences
    from huggingface_hub import constants, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    cfg = timm.models.get_pretrained_cfg(timm_name)
    hub_id = cfg.hf_hub_id if cfg is not None else None
    if not hub_id:
        raise HubError("the hub has no safetensors file of it")
    try:
        return Path(hf_hub_download(hub_id, FILE, local_files_only=True)), hub_id
    except EntryNotFoundError:
        if constants.HF_HUB_OFFLINE:
            raise HubError("HF_HUB_OFFLINE is set") from None
    _probe(hf_hub_url(hub_id, FILE))
    try:
        return Path(hf_hub_download(hub_id, FILE)), hub_id
    except Exception as error:  # which errors these are depends on the version of its HTTP library
        raise HubError(f"the hub did not give {hub_id} ({type(error).__name__})") from error


def _probe(url: str) -> None:
    # huggingface_hub repeats a request that found no network for half a minute; one try is enough to know
    try:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - the hub's own https address
        with urllib.request.urlopen(request, timeout=PROBE_TIMEOUT_S):  # noqa: S310
            return
    except OSError as error:
        raise HubError(f"the hub did not answer ({error})") from error
