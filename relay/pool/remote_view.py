"""The one viewer's end of a remote login."""

from __future__ import annotations

from collections.abc import AsyncIterator

from relay.errors import Forbidden
from relay.pool.face import Copied, Gesture, Picture, Scene
from relay.pool.remote_session import RemoteSession

TAKEN_OVER = Scene((), 0, state="ended", why="This login was opened in another tab of this browser.")


class RemoteView:
    """Implements `face.LoginView`. Nothing is claimed before it is iterated: who only fetches the address (a preview
    in a mail program) does not use it up."""

    def __init__(self, session: RemoteSession, viewer: str) -> None:
        self.viewer = viewer
        self._session = session

    def __repr__(self) -> str:
        return f"<RemoteView of {self._session}>"

    async def __aiter__(self) -> AsyncIterator[Picture | Scene | Copied]:
        session = self._session
        if session.viewer not in ("", self.viewer):
            raise Forbidden("This login is open in another browser already.")
        session.attach(self)
        told: Scene | None = None
        try:
            while True:
                scene = await session.scene() if session.view is self else TAKEN_OVER
                if scene != told:
                    told = scene
                    yield scene
                if scene.state != "waiting":
                    return
                if session.copied is not None:
                    copied, session.copied = session.copied, None
                    yield copied
                shot = session.cast.take() if session.cast is not None else None
                if shot is not None:
                    yield Picture(shot.data, shot.mime, shot.width, shot.height)
                await session.wait()
                if session.view is not self:
                    session.wake()  # the news was for the one that took over
        finally:
            await session.detach(self)

    async def act(self, gesture: Gesture) -> None:
        """Do it in the page."""
        if self._session.view is self:
            await self._session.act(gesture)
