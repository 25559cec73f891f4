"""The sites that relay knows."""

from __future__ import annotations

from relay.errors import UnknownModel
from relay.sites.base import Site
from relay.sites.chatgpt import ChatGpt
from relay.sites.claude import Claude
from relay.sites.deepseek import DeepSeek
from relay.sites.demo import Demo
from relay.sites.gradio import Gradio
from relay.sites.kimi import Kimi

SITES: dict[str, type[Site]] = {site.id: site for site in (Demo, Gradio, Kimi, DeepSeek, ChatGpt, Claude)}


def site_class(site: str) -> type[Site]:
    """The class of a site. Raises UnknownModel naming those there are."""
    try:
        return SITES[site]
    except KeyError:
        raise UnknownModel(f"There is no site {site!r}. Sites: {', '.join(SITES)}.") from None
