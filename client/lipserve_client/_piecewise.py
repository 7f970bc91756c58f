"""A result whose pieces are made by processes that share nothing but files: for workers of jobs."""

from __future__ import annotations

from lipserve.report import Report
from lipserve_client._async_client import AsyncClient
from lipserve_client._cancel import in_thread
from lipserve_client._making import Making
from lipserve_client._output import Output
from lipserve_client._provenance import Signing
from lipserve_client._wanted import Wanted, with_people


class Piecewise:
    """What a worker does with the servers of a client.

    Raises:
        the errors of `Client.dub`.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def settled(self, wanted: Wanted) -> Wanted:
        """Return the same wishes with pixels in place of people's numbers; the video is measured for that."""
        return await with_people(wanted, self._client._fleet, self._client._concurrency)

    async def making(self, wanted: Wanted) -> Making:
        """Look at all files, and return the pieces; the same wishes and files have the same pieces."""
        return await in_thread(wanted.run, self._client._fleet, None)

    async def signed(self, output: Output, making: Making, wanted: Wanted) -> Report:
        """Sign a result that is joined, and return its report."""
        signing = await in_thread(Signing, self._client._provenance)
        made = wanted.video, making.speeches, wanted.options.consent
        return await in_thread(signing.finish, output, making.report(), *made)
