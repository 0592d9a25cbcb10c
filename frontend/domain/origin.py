"""Whether a browser asks for a page of ours, or for one of another site.

Source: the Fetch standard, "Origin header"; Fetch Metadata, "Sec-Fetch-Site". Clients that are no
browsers send neither.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

_OWN_SITES: Final = ("same-origin", "none")  # none: the person's own doing


def is_own_origin(headers: Mapping[str, str], url: str) -> bool:
    """Whether a request comes from a page of the server at `url`, or from no page.

    A page may also be reached under another name: then the browser says the same one as Host. One
    in clear text is anybody's, whatever its name, where ours are under TLS.
    """
    site = headers.get("sec-fetch-site")
    if site is not None and site not in _OWN_SITES:
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    ours = urlsplit(url)
    scheme, _, host = origin.partition("://")
    is_ours = host != "" and host in (ours.netloc, headers.get("host"))
    return is_ours and scheme in ("https", ours.scheme)
