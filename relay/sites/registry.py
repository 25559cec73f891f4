"""The sites that relay knows."""

from __future__ import annotations

from relay.errors import UnknownModel
from relay.sites.base import Site
from relay.sites.chatgpt.site import ChatGpt
from relay.sites.claude.site import Claude
from relay.sites.deepseek.site import DeepSeek
from relay.sites.demo.site import Demo
from relay.sites.gradio.site import Gradio
from relay.sites.kimi.site import Kimi

SITES: dict[str, type[Site]] = {site.id: site for site in (Demo, Gradio, Kimi, DeepSeek, ChatGpt, Claude)}


def site_class(site: str) -> type[Site]:
    """The class of a site. Raises UnknownModel naming those there are."""
    try:
        return SITES[site]
    except KeyError:
        raise UnknownModel(f"There is no site {site!r}. Sites: {', '.join(SITES)}.") from None
