"""The crawler with aiohttp: crawler.py asyncio|uvloop PORT MOST. Prints the pages that it got and the seconds it took."""

import asyncio
import re
import sys
import time

import aiohttp

LINK = re.compile(r'href="([^"]*)"')


async def crawl(port, most):
    origin = f"http://127.0.0.1:{port}"
    seen, got = {"/page/0"}, 0
    queue = asyncio.Queue()
    queue.put_nowait("/page/0")
    start = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=most)) as session:

        async def work():
            nonlocal got
            while True:
                path = await queue.get()
                async with session.get(origin + path) as answer:
                    text = await answer.text()
                got += 1
                for link in LINK.findall(text):
                    if link not in seen:
                        seen.add(link)
                        queue.put_nowait(link)
                queue.task_done()

        workers = [asyncio.create_task(work()) for _ in range(most)]
        await queue.join()
        for worker in workers:
            worker.cancel()
    print(got, time.perf_counter() - start)


def main():
    loop, port, most = sys.argv[1:]
    if loop == "uvloop":
        import uvloop

        uvloop.install()
    asyncio.run(crawl(int(port), int(most)))


if __name__ == "__main__":
    main()
