"""Settings: `RELAY_*` environment, `.env` and `relay.toml`, all by the same names (nested with `__`)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

Clock = Annotated[float, Field(gt=0, le=86_400)]


class Group(BaseModel):
    """A nested group: an unknown name is an error, so that a typo is not silently ignored."""

    model_config = ConfigDict(extra="forbid")


class BrowserSettings(Group):
    """How Chromium is found and run."""

    executable: Path | None = Field(None, description="Chromium's executable; found by itself when unset")
    mode: Literal["shell", "new", "headed"] = Field("shell", description="headless shell, full headless, or a display")
    cdp_url: str | None = Field(None, description="use a remote Chromium at this DevTools address")
    max_open_tabs: int = Field(16, ge=1, le=1000, description="pages open at once, over all accounts")
    memory_mib: int | None = Field(None, ge=64, description="memory budget of the browser in MiB")
    sandbox: bool = Field(True, description="Chromium's own sandbox; as root only false works")
    direct_cdp: bool | Literal["auto"] = Field(
        "auto", description="byte path over a debug port on loopback (auto: on in the image, off elsewhere)"
    )
    host_rules: str | None = Field(None, description="Chromium's --host-resolver-rules; for replicas")
    trusted_spki: str | None = Field(None, description="Chromium's --ignore-certificate-errors-spki-list; for replicas")

    @property
    def direct(self) -> bool:
        """Whether the byte path takes the debug port."""
        return os.environ.get("RELAY_IN_IMAGE") == "1" if self.direct_cdp == "auto" else self.direct_cdp


class QueueSettings(Group):
    """The bounded queue before the pool."""

    max_waiting: int = Field(256, ge=1, le=100_000, description="requests waiting; more get 429")
    max_wait_s: Clock = Field(300, description="seconds a request waits for a free tab")


class KeeperSettings(Group):
    """What is done about accounts and pages while nobody asks."""

    probe_every_s: float = Field(
        21_600, ge=0, le=30 * 86_400, description="seconds after which an idle account's login is checked; 0 = never"
    )
    idle_page_s: Clock = Field(900, description="seconds after which an unused page is closed")
    page_age_s: Clock = Field(14_400, description="seconds after which a page is replaced, between two chats")
    page_uses: int = Field(200, ge=1, le=1_000_000, description="chats after which a page is replaced")
    browser_age_s: float = Field(
        86_400, gt=0, le=30 * 86_400, description="seconds after which the browser is replaced, account by account"
    )
    delete_gap_s: float = Field(
        2, ge=0.05, le=3600, description="least seconds between two deletions of old conversations of an account"
    )


class PassthroughSettings(Group):
    """Contexts made from the site tokens that callers bring."""

    keep_s: Clock = Field(900, description="seconds that an unused one is kept warm")
    max_accounts: int = Field(100, ge=1, le=10_000, description="kept at once; the least recently used idle one goes")


class LoginSettings(Group):
    """Logging in, in a window or from afar."""

    claim_s: Clock = Field(
        30, description="seconds in which a login window must open the account that the server has handed over"
    )
    open_within_s: Clock = Field(600, description="seconds in which a remote login's address must be opened")
    idle_s: Clock = Field(900, description="seconds without a viewer after which a remote login ends")
    total_s: Clock = Field(3600, description="seconds that a login may take in all, in a window or from afar")


class FilesSettings(Group):
    """Files that callers store (`/v1/files`)."""

    quota_mib: int = Field(1024, ge=1, le=1_048_576, description="MiB of all stored files together")
    max_file_mib: int = Field(100, ge=1, le=100, description="largest stored file in MiB")
    keep_s: float = Field(
        30 * 86_400,
        ge=60,
        le=3650 * 86_400,
        description="seconds that a stored file is kept, or less if asked for less",
    )


class ReplaySettings(Group):
    """Answers of requests that have an `Idempotency-Key` (docs/resuming.md)."""

    keep_s: float = Field(600, ge=0, le=86_400, description="seconds that such an answer is kept after its end")
    linger_s: float = Field(60, ge=0, le=3600, description="seconds that such a chat goes on without its client")


class Clocks(Group):
    """The three clocks of an answer, in seconds."""

    first_byte_s: Clock = Field(90, description="seconds until the site's first sign of an answer")
    idle_s: Clock = Field(60, description="seconds between two signs of progress")
    total_s: Clock = Field(900, description="seconds for the whole answer")


class ClockOverrides(Group):
    """Clocks of one site; what is unset is the site's own or the general one."""

    first_byte_s: Clock | None = None
    idle_s: Clock | None = None
    total_s: Clock | None = None


class SiteSettings(Group):
    """What can be set for one site (`RELAY_SITES__<ID>__…`)."""

    drivers: Annotated[list[str] | None, NoDecode] = Field(None, description="ordered drivers, e.g. fetch,screen,dom")
    clocks: ClockOverrides = ClockOverrides()
    mode: Literal["shell", "new", "headed"] | None = Field(None, description="browser mode of this site")

    @field_validator("drivers", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return split_list(value)


def split_list(value: Any) -> Any:
    """Take `a,b`, a JSON-looking `["a","b"]` or a real list."""
    if isinstance(value, str):
        return [part.strip().strip("\"'") for part in value.strip("[] ").split(",") if part.strip().strip("\"'")]
    return value


def default_home() -> Path:
    """The current folder if it holds `browser_profiles/`, else the platform's user data folder."""
    here = Path.cwd()
    return here if (here / "browser_profiles").is_dir() else user_data_path("relay", appauthor=False)


class Settings(BaseSettings):
    """Everything a person can set. `relay serve --help` and `docs/settings.md` are made from this model."""

    model_config = SettingsConfigDict(
        env_prefix="RELAY_",
        env_nested_delimiter="__",
        env_file=".env",
        extra="ignore",
        populate_by_name=True,
        validate_default=True,
    )

    home: Path = Field(
        default_factory=default_home, description="holds browser_profiles/, relay.db, responses.db, relay.toml, sites/"
    )
    host: str = Field("127.0.0.1", description="address to listen on; anything but loopback needs an API key")
    port: int = Field(9999, ge=0, le=65535, description="TCP port")
    api_keys: Annotated[list[SecretStr], NoDecode] = Field([], description="comma-separated static API keys")
    cors_origins: Annotated[list[str] | None, NoDecode] = Field(
        None, description="allowed origins, comma-separated; * with keys, none without"
    )
    allowed_hosts: Annotated[list[str] | None, NoDecode] = Field(
        None, description="Host names to answer to beside loopback and IP addresses; * = any (so beyond loopback)"
    )
    admin_password: SecretStr | None = Field(
        None, description="of the admin page; made at the first start and printed once when unset"
    )
    token_passthrough: bool | None = Field(None, description="take site tokens as Bearer; true on loopback")
    public_url: str = Field(
        "", description="address by which people reach this server, for login addresses in messages; its own when unset"
    )
    notify: Annotated[list[SecretStr], NoDecode] = Field(
        [], description="addresses told when an account needs its owner, by commas: see docs/notices.md"
    )
    profile_key: Annotated[list[SecretStr], NoDecode] = Field(
        [], description="comma-separated passphrases for account state at rest: the first encrypts, any decrypts"
    )
    commit_after_s: float = Field(
        5, ge=0, le=60, description="seconds a stream's status line waits for the first event"
    )
    keep_alive_s: float = Field(10, gt=0, le=60, description="seconds between keep-alive comments")
    max_body_mib: int = Field(32, ge=1, le=1024, description="largest request body in MiB")
    stop_grace_s: float = Field(
        8, ge=0, le=600, description="seconds that answers in flight have when relay is stopped"
    )
    conversations: Literal["auto", "fresh"] = Field(
        "auto", description="auto continues a conversation on the site, fresh always begins a new one"
    )
    keep_conversations_s: float = Field(
        3600,
        ge=0,
        le=365 * 86_400,
        description="seconds until an unused conversation is deleted on the site; 0 = at once",
    )
    keep_responses_s: float = Field(
        30 * 86_400,
        ge=0,
        le=365 * 86_400,
        description="seconds that an unused answer of /v1/responses is kept, to be asked for again; 0 = none is",
    )
    keep_responses_mib: int = Field(
        256, ge=1, le=1_048_576, description="most MiB of kept answers; the longest unused ones go first"
    )
    sources: Literal["annotations", "list"] = Field("annotations", description="list also appends a source list")
    side_calls: str = Field(
        "chat",
        pattern=r"^(chat|local|refuse|model:\S+)$",
        description="titles, tags and such that chat UIs ask for beside each message: chat (like any other), local "
        "(answered without any site), refuse, or model:<name> (asked of that model); see docs/side-calls.md",
    )
    fetch_urls: Literal["none", "public", "any"] = Field("public", description="whose files are fetched by address")
    browser: BrowserSettings = BrowserSettings()
    queue: QueueSettings = QueueSettings()
    keeper: KeeperSettings = KeeperSettings()
    passthrough: PassthroughSettings = PassthroughSettings()
    login: LoginSettings = LoginSettings()
    files: FilesSettings = FilesSettings()
    replay: ReplaySettings = ReplaySettings()
    clocks: Clocks = Clocks()
    sites: dict[str, SiteSettings] = {}
    log_level: Literal["TRACE", "DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="log level")

    @field_validator("api_keys", "profile_key", "notify", "cors_origins", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return split_list(value)

    @field_validator("sites")
    @classmethod
    def _lower(cls, value: dict[str, SiteSettings]) -> dict[str, SiteSettings]:
        return {key.lower().replace("_", "-"): site for key, site in value.items()}

    @property
    def profiles(self) -> Path:
        """The folder of all accounts."""
        return self.home / "browser_profiles"

    @property
    def socket(self) -> Path:
        """The owner's socket of a running server."""
        return self.home / "relay.sock"

    @property
    def is_loopback(self) -> bool:
        """Whether the server listens on loopback only."""
        return self.host in {"127.0.0.1", "::1", "localhost"}

    @property
    def address(self) -> str:
        """Where people reach the server, without a slash at its end; empty where only the running server knows."""
        if self.public_url:
            return self.public_url.rstrip("/")
        return f"http://{self.host}:{self.port}" if self.is_loopback and self.port else ""

    @property
    def passes_tokens(self) -> bool:
        """Whether a Bearer in the shape of a site's token is taken for one."""
        return self.is_loopback if self.token_passthrough is None else self.token_passthrough

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then environment, `.env`, and last `relay.toml` of the home folder."""
        home = Path(os.environ.get("RELAY_HOME") or init_settings().get("home") or default_home())
        toml = TomlConfigSettingsSource(settings_cls, home / "relay.toml")
        return init_settings, env_settings, dotenv_settings, toml

    def browser_of(self, site: str) -> BrowserSettings:
        """The browser's settings for one site."""
        own = self.sites.get(site)
        return self.browser.model_copy(update={"mode": own.mode}) if own and own.mode else self.browser

    def clocks_for(self, site: str, own: Clocks | None = None) -> Clocks:
        """The clocks of one site: its setting, else those that the site itself sets, else the general ones."""
        merged = self.clocks.model_dump() | (own.model_dump(exclude_unset=True) if own else {})
        if site in self.sites:
            merged |= self.sites[site].clocks.model_dump(exclude_none=True)
        return Clocks(**merged)
