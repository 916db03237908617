"""Holds one conversation after the other with Python's websockets and tells how each went.

usage: talk.py URL < conversations. A conversation is
  {"path", "query", "user", "password", "subprotocols", "headers", "say"}
all of them optional. It says each entry of "say" in turn and hears one message after each; null says
nothing and only hears. `user` and `password` go into the address. A conversation that the server ends
before its time has "closed"; the others end with a close of ours.
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


async def talk(url, *, subprotocols=None, headers=(), say=(None,)):
    options = dict(
        subprotocols=subprotocols,
        additional_headers=[tuple(pair) for pair in headers],
        proxy=None,
        open_timeout=LIMIT,
    )
    try:
        async with connect(url, **options) as socket:
            result = {"status": 101, "protocol": socket.subprotocol, "heard": []}
            try:
                for words in say:
                    if words is not None:
                        await socket.send(words)
                    result["heard"].append(await asyncio.wait_for(socket.recv(), LIMIT))
            except ConnectionClosed as end:
                result["closed"] = end.rcvd and {"code": end.rcvd.code, "reason": end.rcvd.reason}
            return result
    except InvalidStatus as refusal:
        return {"status": refusal.response.status_code}
    except NegotiationError as error:
        return {"status": "negotiation", "error": str(error)}


async def main():
    results = []
    for conversation in json.load(sys.stdin):
        where = {name: conversation.pop(name) for name in ("path", "query", "user", "password") if name in conversation}
        results.append(await talk(address(sys.argv[1], **where), **conversation))
    print(json.dumps(results))


asyncio.run(main())
