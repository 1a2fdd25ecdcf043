from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.decide import Plan, decide, upstream_target
from proxy.core.forward import ForwardTable
from proxy.core.forward_errors import NotForwarded
from proxy.core.location import WayBack
from proxy.core.route import Match, Route, Table
from proxy.core.target import parse_authority, stem
from proxy.errors import BadRequest, MethodNotSupported, RequestRefused

NONE = dict[bytes, bytes]().get


def entry(name, upstream, path=b"", *, rewrite=None, base=b"", rewritten=False, **match):
    """
    Return a route to an upstream.
    """
    way_back = WayBack(upstream, base, rewrite, path) if rewritten else None
    plan = Plan(upstream.decode(), b"", base, rewrite, way_back=way_back)
    return Route(name, Match(path=path, **match), plan)


def table(*routes):
    """
    Return what these routes are for.
    """
    return ForwardTable(Table(routes), lambda plan: plan)


ALL = table(
    entry("api", b"https://api.example.com", b"/v1"),
    entry("api-write", b"https://api.example.com", b"/v1", methods=frozenset((b"POST",))),
    entry("api-deep", b"https://api.example.com", b"/v1/deep"),
    entry("tenant", b"https://api.example.com", b"/v1", headers=((b"x-tenant", b"a"),)),
    entry("orders", b"https://orders.example.com", b"/orders", base=b"/base", rewrite=b"/v2"),
    entry("port", b"https://port.example.com:8443", b"/p"),
    entry("plain", b"http://127.0.0.1:9000", b"/plain"),
    entry("six", b"https://[2001:db8::1]", b"/six"),
    entry("named", b"https://elsewhere.example.net", b"/n", host=b"named.internal", rewrite=b"/m"),
    entry("wild", b"https://elsewhere.example.net", host=b"*.wild.internal"),
    entry("everything", b"https://catch.example.com"),
)


@pytest.mark.parametrize(
    ("url", "route", "goal"),
    [
        # a route without match.host: its upstream's own address, its part, the path as it came
        (b"http://api.example.com/v1/x", "api", b"/v1/x"),
        (b"http://api.example.com/v1", "api", b"/v1"),
        (b"http://api.example.com/v1/deep/x", "api-deep", b"/v1/deep/x"),
        (b"http://api.example.com/v1/a%20b//c;d", "api", b"/v1/a%20b//c;d"),
        (b"http://api.example.com/v10", None, b""),
        (b"http://api.example.com/", None, b""),
        (b"http://api.example.com", None, b""),
        (b"http://orders.example.com/base/v2/7", "orders", b"/base/v2/7"),
        (b"http://orders.example.com/orders/7", None, b""),
        (b"http://orders.example.com/v2/7", None, b""),
        (b"http://catch.example.com/any", "everything", b"/any"),
        (b"http://catch.example.com", "everything", b"/"),
        # spellings of the host
        (b"HTTP://API.Example.COM/v1/x", "api", b"/v1/x"),
        (b"http://api.example.com./v1/x", "api", b"/v1/x"),
        (b"http://api.example.com:/v1/x", "api", b"/v1/x"),
        (b"http://api%2eexample.com/v1/x", None, b""),
        (b"http://[2001:db8::1]/six", "six", b"/six"),
        (b"http://[2001:0DB8:0:0::1]/six", "six", b"/six"),
        # ports and schemes: upgraded, never downgraded, never another port
        (b"http://api.example.com:80/v1/x", "api", b"/v1/x"),
        (b"http://api.example.com:443/v1/x", "api", b"/v1/x"),
        (b"https://api.example.com/v1/x", "api", b"/v1/x"),
        (b"https://api.example.com:443/v1/x", "api", b"/v1/x"),
        (b"https://api.example.com:80/v1/x", None, b""),
        (b"http://api.example.com:8080/v1/x", None, b""),
        (b"http://port.example.com:8443/p", "port", b"/p"),
        (b"https://port.example.com:8443/p", "port", b"/p"),
        (b"http://port.example.com/p", None, b""),
        (b"https://port.example.com/p", None, b""),
        (b"http://127.0.0.1:9000/plain", "plain", b"/plain"),
        (b"https://127.0.0.1:9000/plain", None, b""),
        (b"http://127.0.0.1/plain", None, b""),
        (b"http://127.1:9000/plain", None, b""),
        (b"http://2130706433:9000/plain", None, b""),
        # a route with match.host: that host, any port, and path and rewriting as ever
        (b"http://named.internal/n/1", "named", b"/m/1"),
        (b"http://named.internal:1234/n/1", "named", b"/m/1"),
        (b"https://named.internal/n/1", "named", b"/m/1"),
        (b"http://named.internal/m/1", None, b""),
        (b"http://elsewhere.example.net/m/1", None, b""),
        (b"http://a.b.wild.internal/", "wild", b"/"),
        (b"http://wild.internal/", None, b""),
        # nobody's: a route without host takes no other host's request
        (b"http://evil.example/v1/x", None, b""),
        (b"http://evil.example/", None, b""),
        (b"http://api.example.com.evil.example/v1/x", None, b""),
        (b"http://evil-api.example.com/v1/x", None, b""),
        (b"http://localhost/v1/x", None, b""),
        (b"http://./v1/x", None, b""),
    ],
)  # fmt: skip
def test_who_is_for_what(url, route, goal):
    """
    A route is for the hosts it names, or for its upstream's own; nothing else is anybody's.
    """
    if route is None:
        with pytest.raises(NotForwarded):
            ALL.decide(b"GET", url, NONE)
        return
    found = ALL.decide(b"GET", url, NONE)

    assert (found.route.name, found.goal) == (route, goal)
    assert found.asked.path == b"/" + url.partition(b"://")[2].partition(b"/")[2]


@pytest.mark.parametrize(
    ("method", "fields", "route"),
    [
        (b"GET", {}, "api"),
        (b"POST", {}, "api-write"),
        (b"GET", {b"x-tenant": b"a"}, "tenant"),
        (b"POST", {b"x-tenant": b"a"}, "tenant"),
        (b"GET", {b"x-tenant": b"b"}, "api"),
    ],
    ids=str,
)
def test_conditions_hold_as_ever(method, fields, route):
    """
    More headers win, then listed methods.
    """
    assert ALL.decide(method, b"http://api.example.com/v1/x", fields.get).route.name == route


@pytest.mark.parametrize(
    "url",
    [
        b"ftp://api.example.com/v1", b"ws://api.example.com/v1", b"http:/api.example.com/v1",
        b"http:api.example.com", b"api.example.com:80", b"*", b"http:///v1", b"http://",
        b"http://user@api.example.com/v1", b"http://api.example.com@evil.example/v1",
        b"http://a:b@api.example.com/v1", b"http://api.example.com\\@evil.example/v1",
        b"http://api.example.com:0/v1", b"http://api.example.com:65536/v1",
        b"http://api.example.com:99999/v1", b"http://api.example.com:80:80/v1",
        b"http://api.example.com:x/v1", b"http://[::1/v1", b"http://[nonsense]/v1",
        b"http://[1.2.3.4]/v1", b"http://::1/v1", b"http://a b/v1", b"http://api.example.com/v1#x",
        b"http://\xc3\xa4.example/v1", b"http://" + b"a" * 300 + b"/v1", b"http://api.example.com/%zz",
        b"http://api.example.com/v1/../v2", b"http://api.example.com/v1/%2e%2e/v2",
        b"http://api.example.com/v1/deep/../x", b"http://api.example.com//v1",
        b"http://orders.example.com/base/v2/..%2f..%2fadmin",
    ],
)  # fmt: skip
def test_what_no_url_is_or_more_than_one_is_refused(url):
    """
    Userinfo, other schemes, odd ports, and paths that read as another route's are bad requests.
    """
    with pytest.raises(BadRequest):
        ALL.decide(b"GET", url, NONE)


@pytest.mark.parametrize("method", [b"CONNECT", b"TRACE"])
def test_no_token_where_none_can_be_attached(method):
    """
    Tunnels and echoes are no more served than elsewhere.
    """
    with pytest.raises(MethodNotSupported):
        ALL.decide(method, b"http://api.example.com/v1", NONE)


def test_what_two_routes_are_for_is_neithers():
    """
    Two ways to the same part of an upstream, as two service users, are told apart by the proxy's
    own paths alone; the reason names both.
    """
    two = table(
        entry("as-admin", b"https://api.example.com", b"/admin", rewrite=b""),
        entry("as-reader", b"https://api.example.com", b"/reader", rewrite=b""),
    )

    with pytest.raises(NotForwarded, match="as-admin and as-reader are both for it"):
        two.decide(b"GET", b"http://api.example.com/x", NONE)


def test_two_schemes_of_one_host_can_tie_too():
    """
    http:// may mean either, so a part that both lead to is neither's.
    """
    two = table(
        entry("plain", b"http://h", b"/a", rewrite=b"/x"),
        entry("tls", b"https://h", b"/b", rewrite=b"/x"),
    )

    with pytest.raises(NotForwarded, match="plain and tls"):
        two.decide(b"GET", b"http://h/x", NONE)
    assert two.decide(b"GET", b"https://h/x", NONE).route.name == "tls"


def test_forward_mode_does_not_lead_past_another_route():
    """
    What a more specific route takes away from a route here, it has taken away there as well.
    """
    shadowed = table(
        entry("all", b"https://api.example.com"),
        entry("closed", b"https://closed.example.com", b"/admin"),
    )

    assert shadowed.decide(b"GET", b"http://api.example.com/x", NONE).route.name == "all"
    with pytest.raises(NotForwarded, match="all is for it, but its path here leads to the route"):
        shadowed.decide(b"GET", b"http://api.example.com/admin/x", NONE)


def test_a_path_that_the_route_cannot_ask_for_is_not_bent():
    """
    A catch-all route to a base path asks for everything below it, not for the base without a slash.
    """
    based = table(entry("based", b"https://h", base=b"/base"))

    assert based.decide(b"GET", b"http://h/base/", NONE).goal == b"/base/"
    with pytest.raises(NotForwarded):
        based.decide(b"GET", b"http://h/base", NONE)


def test_the_query_goes_up_as_it_came():
    """
    It belongs to no route.
    """
    found = ALL.decide(b"GET", b"http://orders.example.com/base/v2?a=/../b&c", NONE)

    assert found.goal == b"/base/v2?a=/../b&c"


@pytest.mark.parametrize(
    ("location", "back"),
    [
        (b"https://api.example.com/v2/x?y#z", b"/v2/x?y#z"),
        (b"https://api.example.com:443/v2/x", b"/v2/x"),
        (b"/v2/x", b"/v2/x"),
        (b"x", b"x"),
        (b"https://api.example.com/elsewhere", b"https://api.example.com/elsewhere"),
        (b"https://api.example.com/v2/taken/x", b"https://api.example.com/v2/taken/x"),
        (b"https://evil.example/v2/x", b"https://evil.example/v2/x"),
        (b"http://api.example.com/v2/x", b"http://api.example.com/v2/x"),
    ],
)
def test_the_way_back_keeps_the_path(location, back):
    """
    An address in the route's part becomes a path there, which a client resolves against the URL it
    asked for: http:// again, through the proxy again.
    """
    routes = table(
        entry("mine", b"https://api.example.com", b"/a", rewrite=b"/v2", rewritten=True),
        entry("other", b"https://api.example.com", b"/b", rewrite=b"/v2/taken"),
    )
    way_back = routes.decide(b"GET", b"http://api.example.com/v2/x", NONE).way_back

    assert way_back is not None
    assert way_back.rewritten(location) == back
    assert ALL.decide(b"GET", b"http://api.example.com/v1/x", NONE).way_back is None


def test_the_way_back_of_a_named_route_is_as_ever():
    """
    Where the host is the proxy's own word, so are the paths.
    """
    route = entry("n", b"https://u", b"/n", host=b"named", rewrite=b"/m", rewritten=True)
    found = table(route).decide(b"GET", b"http://named/n/1", NONE)

    assert found.way_back is route.action.way_back


@pytest.mark.parametrize(
    ("url", "named"),
    [
        (b"http://api.example.com", True),
        (b"http://api.example.com:81", False),
        (b"http://named.internal:81", True),
        (b"http://x.wild.internal", True),
        (b"http://wild.internal", False),
        (b"https://[2001:db8:0::1]", True),
        (b"http://evil.example", False),
    ],
)
def test_whether_any_route_is_for_a_host(url, named):
    """
    Whatever its path.
    """
    assert ALL.names(parse_authority(url)) is named


NAMES = st.sampled_from((b"a.test", b"b.test", b"x.b.test", b"c.test"))
SCHEMES = st.sampled_from((b"http://", b"https://"))
PLACES = st.tuples(SCHEMES, NAMES, st.sampled_from((b"", b"", b":8443"))).map(b"".join)
PREFIXES = st.sampled_from((b"", b"/a", b"/a/b", b"/b", b"/v1"))
ENDS = st.lists(
    st.sampled_from((b"/a", b"/b", b"/v1", b"/", b"/x", b"/..", b"/%2e", b"/;x", b"/%61")),
    max_size=3,
).map(b"".join)


@st.composite
def questions(draw):
    """
    Routes, and a URL that one of them may be for: scheme, host, port, path.
    """
    written = draw(
        st.lists(
            st.tuples(PLACES, st.sampled_from((b"", b"", b"a.test", b"*.b.test")), PREFIXES),
            min_size=1,
            max_size=5,
            unique_by=lambda made: made[1:],
        )
    )
    routes = [
        entry(
            f"r{index}",
            place,
            path,
            host=host,
            base=draw(st.sampled_from((b"", b"", b"/v1"))),
            rewrite=draw(st.sampled_from((None, None, b"", b"/b"))),
        )
        for index, (place, host, path) in enumerate(written)
    ]
    meant = draw(st.sampled_from(routes))
    up = parse_authority(meant.action.upstream.encode())
    host = draw(st.sampled_from((up.host, up.host, b"a.test", b"x.b.test", b"d.test")))
    port = draw(st.sampled_from((b"", b":%d" % up.port, b":80")))
    part = stem(meant.action.base, meant.action.rewrite, meant.match.path)
    path = draw(st.sampled_from((part, part, part, b"/a"))) + draw(ENDS)
    return routes, draw(SCHEMES), host, port, path


@given(questions(), st.sampled_from((b"", b"?q=1")))
def test_forward_mode_says_the_same_in_other_words(question, query):
    """
    Whatever the routes: the request goes to the host that was asked for or that its route names,
    by a route and to a place that it could have asked for by the proxy's own paths.
    """
    routes, scheme, host, port, path = question
    everything = Table(routes)
    try:
        found = table(*routes).decide(b"GET", scheme + host + port + path + query, NONE)
    except RequestRefused:
        return
    route, plan = found.route, found.route.action
    wanted, said = route.match.host, b"nobody.test"
    if wanted:
        assert host == wanted or (wanted[:1] == b"*" and host.endswith(wanted[1:]))
        said = host
    else:
        up = parse_authority(plan.upstream.encode())
        asked = parse_authority(scheme + host + port)
        assert up.host == host
        assert up.port == asked.port or (asked.port, up.port) == (80, 443)
        assert scheme == b"http://" or up.scheme == b"https"
        assert found.goal == (path or b"/") + query
    same = decide(everything, b"GET", found.target.path + found.target.query, said, NONE)
    assert same.route is route
    assert upstream_target(plan, route.match.path, same.target) == found.goal


@given(questions())
def test_what_a_route_alone_is_for_it_takes(question):
    """
    With no other route, all plain paths in its part are taken.
    """
    routes, *_ = question
    route = routes[0]
    plan = route.action
    part = stem(plan.base, plan.rewrite, route.match.path)
    host = route.match.host.replace(b"*", b"x")
    path = part + b"/x/y"
    url = plan.upstream.replace("https", "http").encode() + path
    if host:
        url = b"http://%b%b/x/y" % (host, route.match.path)

    found = table(route).decide(b"GET", url, NONE)

    assert found.route is route
    assert found.goal == path
