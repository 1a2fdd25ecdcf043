"""
Token answers and discovery documents as no issuer should write them, in groups of one mistake each.

`refused` are no token by the strict reading; `taken` are one, of which some need a cautious eye.
Wherever a value stands it is a planted canary, so that a test can see that none is ever shown.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "canary-token"
PLAIN = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600}
PLAIN_BYTES = json.dumps(PLAIN).encode()

# Something where one of the plain answer's values should be, as JSON text.
WRONG_VALUES = [
    b"null", b"true", b"false", b"0", b"-1", b"1e3", b"[]", b"{}", b'[""]', b'["canary"]',
    b'{"canary":"canary"}', b'""', b'" "', b"[[[]]]", b'[null,"canary"]', b"12345678901234567890",
]  # fmt: skip

NOT_JSON = {
    "unclosed": [
        b"{", b"[", b'"', b'{"', b'{"a', b'{"a"', b'{"a":', b'{"a":1', b'{"a":1,', b'{"a":[1',
        b'{"a":{"b":1}', b'{"a":"canary', b'{"a":"canary\\', b'{"a":"canary\\u', b'{"a":"\\u00',
        b"[1,", b'["canary', b"tru", b"fals", b"nul", b"-", b"1.", b"1e", b"1e+", b"{\n", b"{\t",
    ],
    "overclosed": [
        b"}", b"]", PLAIN_BYTES + b"}", PLAIN_BYTES + b"]", PLAIN_BYTES + PLAIN_BYTES,
        PLAIN_BYTES + b",", b"," + PLAIN_BYTES, b"{}}", b"{]", b"[}", PLAIN_BYTES + b"null",
        PLAIN_BYTES + b"\n" + PLAIN_BYTES, b"}{", b"][", PLAIN_BYTES + b"#", PLAIN_BYTES + b";",
    ],
    "commas and colons": [
        b'{"a":1,}', b'{,"a":1}', b'{"a":1,,"b":2}', b'{"a" 1}', b'{"a"::1}', b'{"a":1:2}',
        b'{"a":1 "b":2}', b'{"a",1}', b"{:}", b"{,}", b'{"a":,}', b'{"a":[1,]}', b'{"a":[,1]}',
        b'{"a":[1 2]}', b'{"a":[1:2]}', b'{"a"=1}', b'{"a":1;"b":2}',
    ],
    "numbers": [
        b'{"expires_in":%s}' % number
        for number in (
            b"01", b"-01", b"+1", b".5", b"-.5", b"5.", b"0x10", b"1e", b"1e1.5", b"1_000", b"--1",
            b"1 000", b"1,000", b"0b1", b"0o7", b"1n", b"Inf", b"inf", b"nan", b"-NaN", b"0.e1",
            b"2.e+3", b"9" * 5000, b"-" + b"9" * 5000, b"\xef\xbc\x91", b"1/2", b"- 1", b"1e+-2",
        )
    ],
    "constants": [
        b'{"a":NaN}', b'{"a":Infinity}', b'{"a":-Infinity}', b"NaN", b"Infinity", b'{"a":True}',
        b'{"a":None}', b'{"a":undefined}', b'{"a":TRUE}', b'{"a":Null}', b"undefined", b'{"a":nil}',
    ],
    "names": [
        b'{a:"canary"}', b"{'a':1}", b'{1:"canary"}', b'{null:"canary"}', b'{"a":"b","a":"canary"}',
        b'{"access_token":"canary","access_token":"canary"}', b'{["a"]:1}', b"{true:1}",
        b'{"access_token":"a","access\\u005ftoken":"canary","token_type":"Bearer"}',
        b'{"a":{"b":1,"b":"canary"}}', b'{"":1,"":"canary"}', b'{"a":[{"b":1,"b":2}]}',
        PLAIN_BYTES[:-1] + b',"token_type":"Bearer"}', PLAIN_BYTES[:-1] + b',"expires_in":1}',
    ],
    "texts": [
        b'{"a":"canary\n"}', b'{"a":"canary\r"}', b'{"a":"canary\t"}', b'{"a":"canary\x00"}',
        b'{"a":"\\x41"}', b'{"a":"\\a"}', b'{"a":"\\"}', b'{"a":"\\u12"}', b'{"a":"\\uZZZZ"}',
        b'{"a":"\\U00000041"}', b"{\"a\":'canary'}", b'{"a":`canary`}', b'{"a":"b" "canary"}',
        b'{"a":canary}', b'{"a":"canary\x1f"}', b'{"a":"\\\n"}', b'{"a":"\\\xc3\xa9"}', b'{"a\n":1}',
        b'{"a":"\\u 041"}', b'{"a":"\\0"}', b'{"a":"\\\'"}', b'{"a":"canary}', b'{"a":canary"}',
    ],
    "comments": [
        b"/* canary */" + PLAIN_BYTES, PLAIN_BYTES + b"// canary", b"# canary\n" + PLAIN_BYTES,
        b'{"a":1/*canary*/}', b"<!-- canary -->" + PLAIN_BYTES, b")]}'\n" + PLAIN_BYTES,
        b"while(1);" + PLAIN_BYTES, b"callback(" + PLAIN_BYTES + b")", b"--\n" + PLAIN_BYTES,
    ],
    "encodings": [
        b"\xef\xbb\xbf" + PLAIN_BYTES, PLAIN_BYTES.decode().encode("utf-16"),
        PLAIN_BYTES.decode().encode("utf-16-le"), PLAIN_BYTES.decode().encode("utf-16-be"),
        PLAIN_BYTES.decode().encode("utf-32"), PLAIN_BYTES.decode().encode("utf-32-be"),
        b'{"a":"\xff"}', b'{"a":"\xc3"}', b'{"a":"\xc3\x28"}', b'{"a":"\xe2\x82"}',
        b'{"a":"\xed\xa0\x80"}', b'{"a":"\xf4\x90\x80\x80"}', b'{"a":"\xc0\xaf"}',
        b'{"a":"\xf0\x82\x82\xac"}', b'{"a":"\x80"}', b'{"\xff":1}', b"\xff\xfe", b"\xfe\xff",
        b"\xef\xbb\xbf", b"\x00", b"\x00" * 1000, b"\x00" + PLAIN_BYTES, PLAIN_BYTES + b"\x00",
        PLAIN_BYTES.decode().encode("cp037"), b'{"a":"\xf5\x80\x80\x80"}', b'{"a":"\xfc\x80"}',
        PLAIN_BYTES.decode().encode("utf-7").replace(b"{", b"+AHs-"),
    ],
    "white space": [
        b"", b" ", b"\n", b"\r\n\r\n", b"\t", b"\x0b" + PLAIN_BYTES, b"\x0c" + PLAIN_BYTES,
        b"\xc2\xa0" + PLAIN_BYTES, b"\xe2\x80\x8b" + PLAIN_BYTES, b"\x1e" + PLAIN_BYTES, b" " * 9999,
        b"\xe2\x81\xa0" + PLAIN_BYTES, b"\xe3\x80\x80" + PLAIN_BYTES,
    ],
    "depth": [
        b"[" * 100_000, b'{"a":' * 40_000, b"[" * 100_000 + b"]" * 100_000, b'[{"a":' * 30_000,
        b'{"access_token":' + b"[" * 50_000 + b"]" * 50_000 + b"}", b"[" * 5000,
        b'{"a":' * 20_000 + b"1" + b"}" * 20_000,
    ],
    "size": [
        b'{"access_token":"' + b"canary" * 50_000 + b'"}', b"canary" * 100_000, b"[0" + b",0" * 200_000,
        b'{"a":"' + b"\\u0000" * 50_000 + b'"}', PLAIN_BYTES + b" " * 262_144, b"9" * 262_145,
    ],
    "other formats": [
        b"<html><body>canary</body></html>", b"<?xml version='1.0'?><a>canary</a>", b"a=canary&b=c",
        b"access_token=canary&token_type=Bearer", b"canary", b"--- \na: canary", b"a,b\ncanary,1",
        b"OK", b"eyJhbGciOiJSUzI1NiJ9.e30.canary", gzip.compress(PLAIN_BYTES, mtime=0),
        zlib.compress(PLAIN_BYTES), gzip.compress(PLAIN_BYTES, mtime=0)[:20], b"\x1f\x8b",
        b"HTTP/1.1 200 OK\r\n\r\n" + PLAIN_BYTES, b"5\r\ncanary\r\n0\r\n\r\n", b"data: {}\n\n",
        b"%PDF-1.7 canary", b"PK\x03\x04canary", b"\x89PNG\r\n\x1a\n", b"SSH-2.0-canary",
    ],
    "no object": [
        b"null", b"true", b"false", b"0", b"-1", b"1.5", b'""', b'"canary"', b"[]", b"[{}]", b"[1]",
        b"[" + PLAIN_BYTES + b"]", json.dumps(PLAIN_BYTES.decode()).encode(), b"[[]]", b"1e999",
        b'["access_token","canary"]',
    ],
}  # fmt: skip

# What cannot stand in a header, as Python texts.
UNSENDABLE = [
    "canary\r\nX-Evil: 1", "canary\n", "canary\r", "\ncanary", "can ary", " canary", "canary ",
    "canary\t", "canary\x00", "canary\x7f", "canaryé", "canary\x80", "canary\u2028", "canary\ud800",
    "\udfffcanary", "canary\U0001f511", "\ufeffcanary", "canary\u00a0", "Bearer canary",
    "canary, canary", "\x1b[31mcanary", "canary\x0b", "", "c" * 65_537, "canary\u200b",
]  # fmt: skip

TYPES = [
    "", "bearer ", " Bearer", "Bearer\n", "Bearer\u0000", "MAC", "DPoP", "N_A", "Basic", "mac canary",
    "Bearer, DPoP", "bearer canary", "bea\u0280er", "\uff22earer", "urn:ietf:params:oauth:token-type",
    "PoP", "Bearer\r\nX: canary", "B" * 5000, "Token",
]  # fmt: skip

TAKEN = {
    "order": json.dumps(dict(reversed(PLAIN.items()))).encode(),
    "white space": b"\r\n\t " + json.dumps(PLAIN, indent=4).encode() + b"\n\n",
    "escaped": b'{"access\\u005ftoken":"canary\\u002dtoken","token_type":"\\u0042earer"}',
    "lower": json.dumps(PLAIN | {"token_type": "bearer"}).encode(),
    "upper": json.dumps(PLAIN | {"token_type": "BEARER"}).encode(),
    "extra members": json.dumps(PLAIN | {"scope": "a", "id_token": "x" * 9000, "": []}).encode(),
    "extra deep": PLAIN_BYTES[:-1] + b',"x":' + b"[" * 300 + b"]" * 300 + b"}",
    "surrogates elsewhere": PLAIN_BYTES[:-1] + b',"x":"\\ud800","\\udfff":1}',
    "null elsewhere": PLAIN_BYTES[:-1] + b',"refresh_token":null}',
    "odd token": json.dumps(PLAIN | {"access_token": "a|b:c'\"\\!~{}<>"}).encode(),
    "long token": json.dumps(PLAIN | {"access_token": "c" * 65_536}).encode(),
    "huge number elsewhere": PLAIN_BYTES[:-1] + b',"x":1e999,"y":-1e-999,"z":' + b"9" * 4000 + b"}",
    "error description alone": PLAIN_BYTES[:-1] + b',"error_description":"canary"}',
    "almost too large": PLAIN_BYTES[:-1] + b" " * (262_144 - len(PLAIN_BYTES)) + b"}",
}

# expires_in as JSON text, and the seconds the token may live at most.
LIVES = {
    b"0": 300, b"-1": 300, b"-0": 300, b"null": 300, b"true": 300, b"false": 300, b'""': 300,
    b'"3600"': 300, b'"60"': 60, b'"abc"': 300, b'" 60"': 300, b'"-60"': 300, b'"1e9"': 300,
    b'"\\u0663\\u0660"': 300, b'"NaN"': 300, b"[]": 300, b"{}": 300, b"[60]": 300, b"3600.5": 300,
    b"60.5": 60.5, b"0.5": 300, b"1e-9": 300, b"1e999": 300, b"-1e999": 300, b"3.6e3": 3600,
    b"3600.0": 3600, b"1": 1, b"59": 59, b"86400": 86_400, b"86401": 86_400, b"1e12": 86_400,
    b"9" * 4000: 86_400, b"-" + b"9" * 4000: 300, b"1E2": 100, b'"' + b"9" * 4000 + b'"': 300,
    b'"999999999999"': 300, b"5e-324": 300, b"1.7976931348623157e308": 86_400,
}  # fmt: skip


def refused() -> Iterator[tuple[str, bytes]]:
    """
    Yield each answer that is no token, with a name.
    """
    for group, bodies in NOT_JSON.items():
        for number, body in enumerate(bodies):
            yield f"{group} {number}", body
    for number, value in enumerate(WRONG_VALUES):
        yield f"access_token {number}", b'{"token_type":"Bearer","access_token":' + value + b"}"
        yield f"token_type {number}", b'{"access_token":"canary","token_type":' + value + b"}"
        yield f"error {number}", PLAIN_BYTES[:-1] + b',"error":' + value + b"}"
    for number, text in enumerate(UNSENDABLE):
        yield f"unsendable {number}", json.dumps(PLAIN | {"access_token": text}).encode()
    for number, text in enumerate(TYPES):
        yield f"type {number}", json.dumps(PLAIN | {"token_type": text}).encode()
    for name in PLAIN:
        if name != "expires_in":
            without = {key: value for key, value in PLAIN.items() if key != name}
            yield f"without {name}", json.dumps(without).encode()
            yield f"{name} in capitals", json.dumps(without | {name.upper(): "canary"}).encode()
    yield "empty object", b"{}"
    for number in range(1, len(PLAIN_BYTES), 3):
        yield f"cut at {number}", PLAIN_BYTES[:number]


def taken() -> Iterator[tuple[str, bytes, float]]:
    """
    Yield each answer that is a token, with a name and the seconds it may live at most.
    """
    for name, body in TAKEN.items():
        yield name, body, 300.0 if name == "escaped" else 3600.0
    for value, seconds in LIVES.items():
        start = b'{"access_token":"canary-token","token_type":"Bearer","expires_in":'
        yield f"expires_in {value[:20].decode()}", start + value + b"}", float(seconds)


def documents(url: str) -> Iterator[tuple[str, bytes]]:
    """
    Yield each discovery document of *url* that is not to be believed, with a name.
    """
    good = {"issuer": url, "token_endpoint": f"{url}/oauth/v2/token"}
    for group, bodies in NOT_JSON.items():
        for number, body in enumerate(bodies):
            yield f"{group} {number}", body
    for number, value in enumerate(WRONG_VALUES):
        yield f"issuer {number}", b'{"token_endpoint":"x","issuer":' + value + b"}"
        start = json.dumps({"issuer": url}).encode()[:-1]
        yield f"endpoint {number}", start + b',"token_endpoint":' + value + b"}"
    host = url.partition("//")[2]
    for number, endpoint in enumerate(
        [
            "", "/", "/oauth/v2/token", "//" + host + "/t", "token", "https://" + host + "/t",
            "ftp://" + host, "http://evil.example/t", "http://" + host + ".evil.example/t",
            "http://" + host + "@evil.example/t", "http://evil.example#@" + host, "file:///etc/passwd",
            "http://canary:canary@" + host + "/t", "javascript:canary", "http://", "http://:80/",
            "http://[::1", "http://[::1]/", "http://127.0.0.1:99999/", "http://127.0.0.1:x/",
            "http://127.0.0.1/", "http:\\\\" + host, "http://" + host + ":1/", "\x00", "http://\x00/",
            "http://%00/", "http://\ud800/", "http://" + "a" * 5000, "http://é.example/",
            "http://xn--a/", "http://127.1/", "data:,canary", "http:/" + host, "HTTP:" + host, "?",
            "http://" + host.replace(".", "\u3002") + "/t", "http://" + host + "/t\r\nX: canary",
            "http://" + host + "/t t", "http://" + host + "/t\x00", "http://" + host + "/t#canary",
            "http://" + host + "/é",
        ]
    ):  # fmt: skip
        yield f"address {number}", json.dumps(good | {"token_endpoint": endpoint}).encode()
    for number, other in enumerate([url + "/", url.upper(), url + "#", url + "?", " " + url, host]):
        yield f"name {number}", json.dumps(good | {"issuer": other}).encode()


def lives_no_longer(lifetime: float, seconds: float) -> bool:
    """
    Say whether a life is a plausible one of at most so many seconds.
    """
    return math.isfinite(lifetime) and 0 < lifetime <= seconds
