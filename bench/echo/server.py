"""Echo servers of Python: server.py asyncio|uvloop streams|protocol. Prints its port."""

import asyncio
import socket
import sys

BACKLOG = 4096
READ = 65536


class Echo(asyncio.Protocol):
    """Back-pressure as streams have it: nothing is read while too much waits to be written."""

    def connection_made(self, transport):
        self.write = transport.write
        self.transport = transport

    def data_received(self, data):
        self.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


async def echo(reader, writer):
    while data := await reader.read(READ):
        writer.write(data)
        await writer.drain()
    writer.close()


async def serve(interface):
    if interface == "streams":
        server = await asyncio.start_server(echo, "127.0.0.1", 0, backlog=BACKLOG, limit=READ)
    else:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, "127.0.0.1", 0, family=socket.AF_INET, backlog=BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main():
    loop, interface = sys.argv[1:]
    if loop == "uvloop":
        import uvloop

        uvloop.install()
    asyncio.run(serve(interface))


if __name__ == "__main__":
    main()
