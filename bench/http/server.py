"""aiohttp's server without access log and routes: server.py asyncio|uvloop. Prints its port."""

import asyncio
import sys

from aiohttp import web

BACKLOG = 4096


async def hello(request):
    return web.Response(text="hello, world")


async def serve():
    runner = web.ServerRunner(web.Server(hello, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=BACKLOG).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def main():
    (loop,) = sys.argv[1:]
    if loop == "uvloop":
        import uvloop

        uvloop.install()
    asyncio.run(serve())


if __name__ == "__main__":
    main()
