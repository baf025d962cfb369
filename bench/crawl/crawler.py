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
    places = asyncio.Semaphore(most)
    tasks = set()
    start = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=most)) as session:

        async def visit(path):
            nonlocal got
            async with places, session.get(origin + path) as answer:
                text = await answer.text()
            got += 1
            for link in LINK.findall(text):
                if link not in seen:
                    seen.add(link)
                    tasks.add(asyncio.create_task(visit(link)))

        tasks.add(asyncio.create_task(visit("/page/0")))
        while tasks:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            tasks.difference_update(done)
            for one in done:
                one.result()
    print(got, time.perf_counter() - start)


def main():
    loop, port, most = sys.argv[1:]
    if loop == "uvloop":
        import uvloop

        uvloop.install()
    asyncio.run(crawl(int(port), int(most)))


if __name__ == "__main__":
    main()
