//! The subprotocol as a carrier: RFC 6455 §4.1, §4.2.2 and §11.3.4, in the default profile, whose
//! prefix is `v1.bearer.` and whose marker is `v1.bearer`. The handler speaks `chat.v2` and
//! `chat.v1`.
//!
//! An entry that bears no token is none of our business: it stays as it is, legal or not. Some
//! libraries refuse `a/b`, but `SPDY/3.1+portforward.k8s.io` is real.

use std::convert::Infallible;
use std::future::ready;
use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;
use futures_util::FutureExt;
use headers::HeaderMapExt;
use http::header::{CONNECTION, HOST, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL};
use http::header::{SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use portcullis::carrier::SecWebSocketProtocol;
use portcullis::{AuthLayer, StaticTokens};
use tower::{Layer, ServiceExt, service_fn};

use crate::site::Site;
use crate::table::Table;

const TOKENS: &[(&str, &str)] = &[
    ("alice", "s3cret"),
    ("bob", "tök?en>>"),
    // Looks like an entry itself.
    ("carol", "v1.bearer.czNjcmV0"),
    ("dave", "token"),
];

/// The lines of the offer, what comes of them, and the lines that the handler sees.
#[rustfmt::skip]
const ROWS: &[(&[&str], &str, &[&str])] = &[
    // Nothing here.
    (&[], "401 missing-credential", &[]),
    (&[""], "401 missing-credential", &[]),
    (&[","], "401 missing-credential", &[]),
    (&["chat.v2"], "401 missing-credential", &[]),
    (&["v1.bearer"], "401 missing-credential", &[]),
    (&["v1.bearer", "chat.v2"], "401 missing-credential", &[]),
    // Something else must be offered beside the token: only that can be echoed.
    (&["v1.bearer.czNjcmV0"], "400 missing-protocol", &[]),
    (&["v1.bearer.czNjcmV0,"], "400 missing-protocol", &[]),
    (&[",", "v1.bearer.czNjcmV0", ""], "400 missing-protocol", &[]),
    // The marker, if the handler chooses nothing.
    (&["v1.bearer, v1.bearer.czNjcmV0"], "open alice by subprotocol, echo v1.bearer", &["v1.bearer"]),
    (&["v1.bearer.czNjcmV0", "v1.bearer"], "open alice by subprotocol, echo v1.bearer", &["v1.bearer"]),
    (&["v1.bearer, v1.bearer.czNjcmV0, chat.v2"], "open alice by subprotocol, echo chat.v2", &["v1.bearer, chat.v2"]),
    (&["v1.bearer.czNjcmV0, other"], "open alice by subprotocol", &["other"]),
    // First, in the middle, last; the others keep their order, and the client's first one wins.
    (&["v1.bearer.czNjcmV0, chat.v1, chat.v2"], "open alice by subprotocol, echo chat.v1", &["chat.v1, chat.v2"]),
    (&["chat.v1, v1.bearer.czNjcmV0, chat.v2"], "open alice by subprotocol, echo chat.v1", &["chat.v1, chat.v2"]),
    (&["chat.v2, chat.v1, v1.bearer.czNjcmV0"], "open alice by subprotocol, echo chat.v2", &["chat.v2, chat.v1"]),
    (&["chat.v2,v1.bearer.czNjcmV0"], "open alice by subprotocol, echo chat.v2", &["chat.v2"]),
    (&["chat.v2 ,\t v1.bearer.czNjcmV0\t,x"], "open alice by subprotocol, echo chat.v2", &["chat.v2,x"]),
    // Several lines are one list.
    (&["v1.bearer.czNjcmV0", "chat.v2"], "open alice by subprotocol, echo chat.v2", &["chat.v2"]),
    (&["chat.v2", "v1.bearer.czNjcmV0"], "open alice by subprotocol, echo chat.v2", &["chat.v2"]),
    (&["a, b", "c, v1.bearer.czNjcmV0", "chat.v2,d"], "open alice by subprotocol, echo chat.v2", &["a, b", "c", "chat.v2,d"]),
    // The others stay byte for byte, legal or not.
    (&["v1.bearer.czNjcmV0, a b, \"a\", a/b, a;b, a=b, é, SPDY/3.1+portforward.k8s.io, a"], "open alice by subprotocol", &["a b, \"a\", a/b, a;b, a=b, é, SPDY/3.1+portforward.k8s.io, a"]),
    (&["a, a, v1.bearer.czNjcmV0"], "open alice by subprotocol", &["a, a"]),
    (&["a,,b, v1.bearer.czNjcmV0"], "open alice by subprotocol", &["a,,b"]),
    (&[",\t, ,  ,foo  ,,   bar,baz,,", "v1.bearer.czNjcmV0"], "open alice by subprotocol", &[",\t, ,  ,foo  ,,   bar,baz,,"]),
    // An empty entry in front of the first one does not outlive the token behind it.
    (&["v1.bearer.czNjcmV0,,a"], "open alice by subprotocol", &["a"]),
    // The whole token, and nothing but the token.
    (&["v1.bearer.dMO2az9lbj4-, chat.v2"], "open bob by subprotocol, echo chat.v2", &["chat.v2"]),
    (&["v1.bearer.djEuYmVhcmVyLmN6TmpjbVYw, chat.v2"], "open carol by subprotocol, echo chat.v2", &["chat.v2"]),
    (&["v1.bearer.dG9rZW4, chat.v2"], "open dave by subprotocol, echo chat.v2", &["chat.v2"]),
    (&["v1.bearer.d3Jvbmc, chat.v2"], "401 invalid-credential", &[]),
    (&["v1.bearer.czNjcmV0czNjcmV0, chat.v2"], "401 invalid-credential", &[]),
    // More than one.
    (&["v1.bearer.czNjcmV0, v1.bearer.dG9rZW4, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.czNjcmV0, v1.bearer.czNjcmV0, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.czNjcmV0", "v1.bearer.czNjcmV0", "chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.czNjcmV0", "chat.v2, v1.bearer."], "400 malformed-credential", &[]),
    // The prefix alone. Kubernetes takes it for no credential, and so does its profile; here
    // somebody meant to send a token, and is told.
    (&["v1.bearer., chat.v2"], "400 malformed-credential", &[]),
    // Names are compared byte for byte, so these are ordinary ones.
    (&["V1.Bearer.czNjcmV0, chat.v2"], "401 missing-credential", &[]),
    (&["v1.bearerczNjcmV0, chat.v2"], "401 missing-credential", &[]),
    (&["xv1.bearer.czNjcmV0, chat.v2"], "401 missing-credential", &[]),
    (&["\"v1.bearer.czNjcmV0\", chat.v2"], "401 missing-credential", &[]),
    (&["v1.bearer.czNjcmV0, V1.Bearer.czNjcmV0"], "open alice by subprotocol", &["V1.Bearer.czNjcmV0"]),
    // Base64 has one right form: unpadded, its own alphabet, no spare bits, whole bytes.
    (&["v1.bearer.czNjcmV0==, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.dG9rZW4=, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.dMO2az9lbj4+, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.dG9rZW4/, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.dG9r ZW4, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer. czNjcmV0, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.dG9rZW5, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.dG9rZW4A0, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.c, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.é, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.czNjcmV0.czNjcmV0, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.%63zNjcmV0, chat.v2"], "400 malformed-credential", &[]),
    // NUL, CR, LF, DEL, a byte that is no UTF-8, a surrogate.
    (&["v1.bearer.AA, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.DQ, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.Cg, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.fw, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.gA, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.7aCA, chat.v2"], "400 malformed-credential", &[]),
];

#[tokio::test]
async fn table() {
    let site = Site::new(TOKENS, |auth| auth);
    let mut table = Table::new();
    for (lines, expected, left) in ROWS {
        let outcome = site
            .ask(|client| {
                lines.iter().fold(client.websocket("/ws"), |request, line| {
                    request.header(SEC_WEBSOCKET_PROTOCOL, line.as_bytes())
                })
            })
            .await;
        table.row(lines, expected, &outcome);
        table.row(
            (lines, "left"),
            format!("{left:?}"),
            format!("{:?}", outcome.left("sec-websocket-protocol")),
        );
    }
    table.finish();
}

/// The marker says "the token was accepted", so it is not echoed for another carrier's.
#[tokio::test]
async fn a_marker_needs_its_token() {
    #[rustfmt::skip]
    let rows: [(&[&str], &str); 4] = [
        (&["v1.bearer"], "open alice by authorization"),
        (&["v1.bearer", "chat.v2"], "open alice by authorization, echo chat.v2"),
        (&["chat.v1"], "open alice by authorization, echo chat.v1"),
        // One credential in two carriers: the subprotocol's token is accepted, too.
        (&["v1.bearer", "v1.bearer.czNjcmV0"], "open alice by authorization, echo v1.bearer"),
    ];
    let site = Site::new(TOKENS, |auth| auth);
    let mut table = Table::new();
    for (entries, expected) in rows {
        let outcome = site
            .ask(|client| {
                let handshake = client.websocket("/ws").bearer("s3cret");
                handshake.protocols(entries.iter().copied())
            })
            .await;
        table.row(entries, expected, outcome);
    }
    table.finish();
}

/// A request that opens no socket has no subprotocol: there it is no carrier. What looks like a
/// token is taken out all the same.
#[tokio::test]
async fn a_page_has_no_subprotocol() {
    let site = Site::new(TOKENS, |auth| auth);
    let entries = ["v1.bearer.czNjcmV0", "chat.v2"];
    let alone = site
        .ask(|client| client.get("/page").protocols(entries))
        .await;
    assert_eq!(alone.to_string(), "401 missing-credential");

    let beside = site
        .ask(|client| client.get("/page").protocols(entries).bearer("token"))
        .await;
    assert_eq!(beside.to_string(), "200 dave by authorization");
    assert_eq!(beside.left("sec-websocket-protocol"), ["chat.v2"]);
}

/// Whatever is offered, and whatever the inner service makes of it: no token goes in, none comes
/// back, and neither does anything that was not offered.
#[test]
fn no_token_goes_in_or_comes_back() {
    let bears_token = |entry: &Vec<u8>| entry.starts_with(b"v1.bearer.");
    let mut called = 0;
    for seed in 0..100_000 {
        let mut random = Random(seed);
        let (offer, choice) = (random.header(), random.header());
        let is_connect = random.below(2) == 0;
        let (seen, response) = admit(offer.clone(), choice.clone(), is_connect);

        let offered = entries(&offer);
        let context =
            format!("seed {seed}: {offer:?}, of which the inner service chose {choice:?}");
        if let Some(seen) = seen {
            called += 1;
            let rest = offered.iter().filter(|entry| !bears_token(entry));
            assert!(entries(&seen).iter().eq(rest), "{context}");
        }
        let echoed = response.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let echoed: Vec<_> = echoed.map(|line| line.as_bytes().to_vec()).collect();
        assert!(echoed.len() <= 1, "{context}: {echoed:?}");
        assert!(
            echoed.iter().all(|entry| offered.contains(entry)),
            "{context}: {echoed:?}"
        );
        assert!(!echoed.iter().any(bears_token), "{context}: {echoed:?}");
    }
    assert!(
        called > 5_000,
        "only {called} were let in, so little was tried"
    );
}

/// Asks the layer in process, since a hundred thousand requests over a pipe would take too long.
/// Tells what the inner service saw, if it was called, and what came back of its choice.
fn admit(
    offer: HeaderMap,
    choice: HeaderMap,
    is_connect: bool,
) -> (Option<HeaderMap>, Response<Bytes>) {
    static AUTH: LazyLock<AuthLayer<StaticTokens>> =
        LazyLock::new(|| AuthLayer::new(StaticTokens::new(TOKENS.iter().copied()).unwrap()));

    let mut request = match is_connect {
        true => Request::connect("http://localhost/ws").version(Version::HTTP_2),
        false => Request::get("/ws")
            .header(HOST, "localhost")
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
    };
    request.headers_mut().unwrap().extend(offer);
    let request = request
        .header(SEC_WEBSOCKET_VERSION, "13")
        .body(())
        .unwrap();

    let seen = Arc::new(Mutex::new(None));
    let note = Arc::clone(&seen);
    let inner = service_fn(move |request: Request<()>| {
        *note.lock().unwrap() = Some(request.headers().clone());
        let mut response = Response::new(Bytes::new());
        *response.headers_mut() = choice.clone();
        *response.status_mut() = match is_connect {
            true => StatusCode::OK,
            false => StatusCode::SWITCHING_PROTOCOLS,
        };
        ready(Ok::<_, Infallible>(response))
    });
    let answer = AUTH.layer(inner).oneshot(request).now_or_never();
    let response = answer.expect("static tokens need no waiting").unwrap();
    let seen = seen.lock().unwrap().take();
    (seen, response)
}

fn entries(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let typed: SecWebSocketProtocol = headers.typed_get().unwrap_or_default();
    typed.iter().map(<[u8]>::to_vec).collect()
}

/// Random headers, the same ones for the same seed (SplitMix64).
struct Random(u64);

impl Random {
    /// Some lines, each a list of names, tokens and garbage with white space around them.
    fn header(&mut self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for _ in 0..self.below(4) {
            let entries: Vec<_> = (0..self.below(5)).map(|_| self.entry()).collect();
            let line = HeaderValue::from_bytes(&entries.join(&b',')).unwrap();
            headers.append(SEC_WEBSOCKET_PROTOCOL, line);
        }
        headers
    }

    fn entry(&mut self) -> Vec<u8> {
        const NAMES: &[&str] = &[
            "chat.v1",
            "chat.v2",
            "v1.bearer",
            "V1.Bearer.czNjcmV0",
            "a/b",
            "a b",
            "",
            "a",
            "a",
        ];
        const TOKENS: &[&str] = &[
            "v1.bearer.czNjcmV0",
            "v1.bearer.czNjcmV0",
            "v1.bearer.dG9rZW4",
            "v1.bearer.d3Jvbmc",
            "v1.bearer.",
            "v1.bearer.~",
        ];
        const SPACES: &[&str] = &["", "", " ", "\t", " \t "];
        let entry = match self.below(8) {
            0 => self.garbage(),
            1 => [b"v1.bearer.", &*self.garbage()].concat(),
            2..4 => self.pick(TOKENS).as_bytes().to_vec(),
            _ => self.pick(NAMES).as_bytes().to_vec(),
        };
        let spaces = [self.pick(SPACES), self.pick(SPACES)].map(str::as_bytes);
        [spaces[0], &entry, spaces[1]].concat()
    }

    /// A few bytes that a header may have.
    fn garbage(&mut self) -> Vec<u8> {
        let bytes = (0..self.below(6)).map(|_| self.below(256) as u8);
        bytes
            .filter(|byte| HeaderValue::from_bytes(&[*byte]).is_ok())
            .collect()
    }

    fn pick<'a>(&mut self, among: &[&'a str]) -> &'a str {
        among[self.below(among.len())]
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}
