"""Opens sockets with Python's websockets, exchanges messages on each, and prints the results.

usage: exchange.py URL < exchanges. An exchange is
  {"path", "query", "user", "password", "subprotocols", "headers", "send"}
with all fields optional. It sends each entry of "send" and receives one message after each; for null it
only receives. `user` and `password` become a part of the URL. If the server closes the socket early,
the result has "closed"; otherwise the client closes it.
"""

import asyncio
import json
import sys
from urllib.parse import quote, urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, NegotiationError

LIMIT = 30


def address(base, path="", query="", user=None, password=None):
    parts = urlsplit(base)
    if user is not None:
        parts = parts._replace(netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc}")
    return parts._replace(path=parts.path + path, query=query).geturl()


async def exchange(url, *, subprotocols=None, headers=(), send=(None,)):
    options = dict(
        subprotocols=subprotocols,
        additional_headers=[tuple(pair) for pair in headers],
        proxy=None,
        open_timeout=LIMIT,
    )
    try:
        async with connect(url, **options) as socket:
            result = {"status": 101, "protocol": socket.subprotocol, "received": []}
            try:
                for message in send:
                    if message is not None:
                        await socket.send(message)
                    result["received"].append(await asyncio.wait_for(socket.recv(), LIMIT))
            except ConnectionClosed as end:
                result["closed"] = end.rcvd and {"code": end.rcvd.code, "reason": end.rcvd.reason}
            return result
    except InvalidStatus as refusal:
        return {"status": refusal.response.status_code}
    except NegotiationError as error:
        return {"status": "negotiation", "error": str(error)}


async def main():
    results = []
    for options in json.load(sys.stdin):
        url = {name: options.pop(name) for name in ("path", "query", "user", "password") if name in options}
        results.append(await exchange(address(sys.argv[1], **url), **options))
    print(json.dumps(results))


asyncio.run(main())
