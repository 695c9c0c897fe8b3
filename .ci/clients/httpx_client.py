"""httpx decodes the list under every coding and revalidates it.

httpx_client.py URL LIST: LIST holds the bytes that the list has under no coding.
"""

import json
import pathlib
import sys

import httpx

url, expected = sys.argv[1], pathlib.Path(sys.argv[2]).read_bytes()


def check(version: str, coding: str | None) -> None:
    headers = {} if coding is None else {"accept-encoding": coding}
    http2 = version == "HTTP/2"
    with httpx.Client(
        http1=not http2, http2=http2, headers=headers, trust_env=False, timeout=20
    ) as client:
        if coding is None:
            offered = client.headers["accept-encoding"]
            assert {"gzip", "br", "zstd"} <= set(offered.split(", ")), offered
        got = client.get(url)
        assert (got.status_code, got.http_version) == (200, version), got
        served = got.headers.get("content-encoding", "identity")
        assert served == (coding or "br"), served
        assert got.content == expected
        assert got.json() == json.loads(expected)

        head = client.head(url)
        assert head.status_code == 200 and head.content == b""
        assert head.headers["content-length"] == got.headers["content-length"]

        etag = got.headers["etag"]
        for value in (etag, f'W/{etag}', f'"x", {etag}', "*"):
            same = client.get(url, headers={"if-none-match": value})
            assert same.status_code == 304, (value, same)
            assert same.content == b"" and same.headers["etag"] == etag
            assert "content-length" not in same.headers
        other = client.get(url, headers={"if-none-match": '"x"'})
        assert other.content == expected


failed = False
for version in ("HTTP/1.1", "HTTP/2"):
    for coding in (None, "gzip", "br", "zstd", "identity"):
        name = f"httpx {version} {coding or 'as it comes'}"
        try:
            check(version, coding)
            print(f"ok   {name}")
        except Exception as error:  # one line a check, whatever it was
            failed = True
            print(f"FAIL {name}: {error!r}")
sys.exit(failed)
