"""Proxies and toxics of a server that speaks Toxiproxy's API, such as
`chaosctl serve --toxiproxy 127.0.0.1:8474` or `chaosctl toxiproxy`.

    from toxiproxy import Toxic, ToxicDirection, Toxiproxy

    proxy = Toxiproxy.from_url("http://localhost:8474")
    proxy.create(name="api_downstream", listen="localhost:8666", upstream="api.service:8080")
    proxy.toxics.add(Toxic(type="latency", stream=ToxicDirection.DOWNSTREAM, attributes={"latency": 2000}))

For tests that are written so already. Package chaosctl says the same and more:
every fault has a lease, a receipt, and is lifted at the end of its block.
Errors are those of package chaosctl.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Type
from urllib.parse import quote

from chaosctl._wire import Wire
from chaosctl.errors import BadInput, ChaosError, Conflict, NotFound

__all__ = ["Proxy", "Toxic", "ToxicDirection", "Toxics", "Toxiproxy"]

_START = "start one with `chaosctl serve --toxiproxy 127.0.0.1:8474` or `chaosctl toxiproxy`"
_CLASSES: Dict[int, Type[ChaosError]] = {400: BadInput, 404: NotFound, 409: Conflict}


class ToxicDirection(str, Enum):
    """Which bytes a toxic is about."""

    #: From the client to the server.
    UPSTREAM = "upstream"
    #: From the server to the client.
    DOWNSTREAM = "downstream"
    #: Both, with one draw for each connection; chaosctl only.
    BOTH = "both"


@dataclass
class Toxic:
    """A toxic: what it does (type), to which bytes (stream), to which part of the
    connections (toxicity, 0 to 1), and how (attributes, in milliseconds and bytes)."""

    type: str
    #: Unique on its proxy; "<type>_<stream>" by default.
    name: str = ""
    stream: ToxicDirection = ToxicDirection.DOWNSTREAM
    toxicity: float = 1.0
    attributes: Dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> Dict[str, Any]:
        """The toxic as the API takes it."""
        out: Dict[str, Any] = {"type": self.type, "stream": ToxicDirection(self.stream).value, "toxicity": self.toxicity, "attributes": dict(self.attributes)}
        if self.name:
            out["name"] = self.name
        return out

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Toxic:
        """Read it from what the API says."""
        stream = ToxicDirection(str(raw.get("stream", "downstream")).lower())
        return cls(str(raw["type"]), str(raw["name"]), stream, float(raw.get("toxicity", 1.0)), dict(raw.get("attributes") or {}))


class _Api(Wire):
    """Toxiproxy's API: its refusals are JSON that is called text."""

    def refusal(self, status: int, reason: str, media: str, data: bytes) -> ChaosError:
        """Make an error of {"error": ..., "status": ...}."""
        try:
            message = json.loads(data)["error"]
        except (ValueError, TypeError, KeyError):
            return super().refusal(status, reason, media, data)
        return _CLASSES.get(status, ChaosError)(str(message))


def _path(*parts: str) -> str:
    return "/" + "/".join(quote(p, safe="") for p in parts)


class Toxics:
    """The toxics of one proxy; iterating asks the server."""

    def __init__(self, api: _Api, proxy: str) -> None:
        """Made by Proxy."""
        self._api = api
        self._proxy = proxy

    def add(self, toxic: Toxic) -> Toxic:
        """Put a toxic in force, also on connections that are open; returns it as the
        server has it."""
        return self._api.read(Toxic.of, "POST", _path("proxies", self._proxy, "toxics"), toxic.to_json())

    def update(self, toxic: Toxic) -> Toxic:
        """Give the toxic of that name other attributes and another toxicity."""
        body = {"attributes": dict(toxic.attributes), "toxicity": toxic.toxicity}
        return self._api.read(Toxic.of, "POST", _path("proxies", self._proxy, "toxics", toxic.name), body)

    def get(self, name: str) -> Toxic:
        """The toxic of that name; NotFound without."""
        return self._api.read(Toxic.of, "GET", _path("proxies", self._proxy, "toxics", name))

    def remove(self, name: str) -> None:
        """Take the toxic of that name out."""
        self._api.ask("DELETE", _path("proxies", self._proxy, "toxics", name))

    def __iter__(self) -> Iterator[Toxic]:
        """All of them, as they are now."""
        return iter(self._api.read(lambda raw: [Toxic.of(t) for t in raw], "GET", _path("proxies", self._proxy, "toxics"), shape=list))

    def __len__(self) -> int:
        """How many there are now."""
        return len(list(iter(self)))


class Proxy:
    """A proxy: it listens and passes on to its upstream. A `with` block deletes it
    at its end."""

    def __init__(self, api: _Api, raw: Mapping[str, Any]) -> None:
        """Made by Toxiproxy."""
        self._api = api
        self._read(raw)
        #: Its toxics.
        self.toxics = Toxics(api, self.name)

    def _read(self, raw: Mapping[str, Any]) -> None:
        self.name = str(raw["name"])
        #: The address that was bound.
        self.listen = str(raw["listen"])
        self.upstream = str(raw["upstream"])
        self.enabled = bool(raw["enabled"])

    def _update(self, **fields: Any) -> Proxy:
        self._api.read(self._read, "POST", _path("proxies", self.name), fields)
        return self

    def enable(self) -> Proxy:
        """Listen again."""
        return self._update(enabled=True)

    def disable(self) -> Proxy:
        """Close every connection and listen no more; toxics stay."""
        return self._update(enabled=False)

    def delete(self) -> None:
        """Take it away, with its toxics and connections."""
        self._api.ask("DELETE", _path("proxies", self.name))

    def __enter__(self) -> Proxy:
        """It is there already."""
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]) -> None:
        """Delete it, unless it is gone."""
        try:
            self.delete()
        except NotFound:
            pass

    def __repr__(self) -> str:
        """Name and addresses."""
        return f"<Proxy {self.name} {self.listen} -> {self.upstream}{'' if self.enabled else ' disabled'}>"


class Toxiproxy:
    """A server's proxies. `toxics` are those of the proxy that this object has
    created last."""

    def __init__(self, url: str = "http://localhost:8474", *, timeout: float = 30.0) -> None:
        """url is where the API listens; timeout, in seconds, bounds each request.
        Nothing is sent yet."""
        self._api = _Api(url, headers={"User-Agent": "chaosctl-python"}, timeout=timeout, start=_START)
        self._last: Optional[Proxy] = None

    @classmethod
    def from_url(cls, url: str) -> Toxiproxy:
        """The server whose API is at a URL such as http://localhost:8474."""
        return cls(url)

    def create(self, name: str, upstream: str, listen: str = "", enabled: bool = True) -> Proxy:
        """Make a proxy; without listen it gets a free port. Conflict if there is one
        of that name."""
        body = {"name": name, "upstream": upstream, "listen": listen, "enabled": enabled}
        self._last = self._api.read(self._proxy, "POST", "/proxies", body)
        return self._last

    @property
    def toxics(self) -> Toxics:
        """The toxics of the proxy that was created last."""
        if self._last is None:
            raise BadInput("no proxy was created here, so there are no toxics", hint="create one, or take that of a proxy: get(name).toxics")
        return self._last.toxics

    def get(self, name: str) -> Proxy:
        """The proxy of that name; NotFound without."""
        return self._api.read(self._proxy, "GET", _path("proxies", name))

    def proxies(self) -> Dict[str, Proxy]:
        """All proxies by name."""
        return self._api.read(lambda raw: {name: self._proxy(one) for name, one in raw.items()}, "GET", "/proxies")

    def populate(self, proxies: Sequence[Mapping[str, Any]]) -> List[Proxy]:
        """Make many proxies at once; those that are there already stay as they are."""
        return self._api.read(lambda raw: [self._proxy(p) for p in raw.get("proxies") or ()], "POST", "/populate", [dict(p) for p in proxies])

    def _proxy(self, raw: Mapping[str, Any]) -> Proxy:
        return Proxy(self._api, raw)

    def reset(self) -> None:
        """Enable every proxy and remove all toxics."""
        self._api.ask("POST", "/reset")

    def version(self) -> str:
        """The version of Toxiproxy that the server answers like."""
        return self._api.read(lambda raw: str(raw["version"]), "GET", "/version")
