//! The subprotocol carrier (RFC 6455 §4.1, §4.2.2 and §11.3.4) in the default profile. The prefix
//! is `v1.bearer.` and the marker is `v1.bearer`. The handler supports `chat.v2` and `chat.v1`.
//!
//! An entry without a token stays unchanged, even if it is not a valid name. Some libraries refuse
//! `a/b`, but Kubernetes uses `SPDY/3.1+portforward.k8s.io`.

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

use crate::support::{Matrix, Table, with_lines};

const TOKENS: &[(&str, &str)] = &[
    ("alice", "s3cret"),
    ("bob", "tök?en>>"),
    // A token that looks like an entry.
    ("carol", "v1.bearer.czNjcmV0"),
    ("dave", "token"),
];

/// The lines of the offer, the outcome, and the lines that the handler receives.
#[rustfmt::skip]
const ROWS: &[(&[&str], &str, &[&str])] = &[
    // No credential.
    (&[], "401 missing-credential", &[]),
    (&[""], "401 missing-credential", &[]),
    (&[","], "401 missing-credential", &[]),
    (&["chat.v2"], "401 missing-credential", &[]),
    (&["v1.bearer"], "401 missing-credential", &[]),
    (&["v1.bearer", "chat.v2"], "401 missing-credential", &[]),
    // The client must offer another entry, because an entry with a token cannot be echoed.
    (&["v1.bearer.czNjcmV0"], "400 missing-protocol", &[]),
    (&["v1.bearer.czNjcmV0,"], "400 missing-protocol", &[]),
    (&[",", "v1.bearer.czNjcmV0", ""], "400 missing-protocol", &[]),
    // The marker is echoed if the handler selects no protocol.
    (&["v1.bearer, v1.bearer.czNjcmV0"], "open alice by subprotocol, echo v1.bearer", &["v1.bearer"]),
    (&["v1.bearer.czNjcmV0", "v1.bearer"], "open alice by subprotocol, echo v1.bearer", &["v1.bearer"]),
    (&["v1.bearer, v1.bearer.czNjcmV0, chat.v2"], "open alice by subprotocol, echo chat.v2", &["v1.bearer, chat.v2"]),
    (&["v1.bearer.czNjcmV0, other"], "open alice by subprotocol", &["other"]),
    // First, in the middle, last. The others keep their order, and the client's first is selected.
    (&["v1.bearer.czNjcmV0, chat.v1, chat.v2"], "open alice by subprotocol, echo chat.v1", &["chat.v1, chat.v2"]),
    (&["chat.v1, v1.bearer.czNjcmV0, chat.v2"], "open alice by subprotocol, echo chat.v1", &["chat.v1, chat.v2"]),
    (&["chat.v2, chat.v1, v1.bearer.czNjcmV0"], "open alice by subprotocol, echo chat.v2", &["chat.v2, chat.v1"]),
    (&["chat.v2,v1.bearer.czNjcmV0"], "open alice by subprotocol, echo chat.v2", &["chat.v2"]),
    (&["chat.v2 ,\t v1.bearer.czNjcmV0\t,x"], "open alice by subprotocol, echo chat.v2", &["chat.v2,x"]),
    // Several lines are one list.
    (&["v1.bearer.czNjcmV0", "chat.v2"], "open alice by subprotocol, echo chat.v2", &["chat.v2"]),
    (&["chat.v2", "v1.bearer.czNjcmV0"], "open alice by subprotocol, echo chat.v2", &["chat.v2"]),
    (&["a, b", "c, v1.bearer.czNjcmV0", "chat.v2,d"], "open alice by subprotocol, echo chat.v2", &["a, b", "c", "chat.v2,d"]),
    // The others stay unchanged, byte for byte, even if they are not valid names.
    (&["v1.bearer.czNjcmV0, a b, \"a\", a/b, a;b, a=b, é, SPDY/3.1+portforward.k8s.io, a"], "open alice by subprotocol", &["a b, \"a\", a/b, a;b, a=b, é, SPDY/3.1+portforward.k8s.io, a"]),
    (&["a, a, v1.bearer.czNjcmV0"], "open alice by subprotocol", &["a, a"]),
    (&["a,,b, v1.bearer.czNjcmV0"], "open alice by subprotocol", &["a,,b"]),
    (&[",\t, ,  ,foo  ,,   bar,baz,,", "v1.bearer.czNjcmV0"], "open alice by subprotocol", &[",\t, ,  ,foo  ,,   bar,baz,,"]),
    // Empty entries between the token and the first other entry are removed.
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
    // The prefix alone is a malformed credential. The Kubernetes profile treats it as none.
    (&["v1.bearer., chat.v2"], "400 malformed-credential", &[]),
    // Names are compared byte for byte, so these are other protocols.
    (&["V1.Bearer.czNjcmV0, chat.v2"], "401 missing-credential", &[]),
    (&["v1.bearerczNjcmV0, chat.v2"], "401 missing-credential", &[]),
    (&["xv1.bearer.czNjcmV0, chat.v2"], "401 missing-credential", &[]),
    (&["\"v1.bearer.czNjcmV0\", chat.v2"], "401 missing-credential", &[]),
    (&["v1.bearer.czNjcmV0, V1.Bearer.czNjcmV0"], "open alice by subprotocol", &["V1.Bearer.czNjcmV0"]),
    // A token has one valid encoding: unpadded base64url without nonzero trailing bits.
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
    // NUL, CR, LF, DEL, a byte that is not UTF-8, a surrogate.
    (&["v1.bearer.AA, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.DQ, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.Cg, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.fw, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.gA, chat.v2"], "400 malformed-credential", &[]),
    (&["v1.bearer.7aCA, chat.v2"], "400 malformed-credential", &[]),
];

#[tokio::test]
async fn subprotocol_entries_are_parsed_strictly_and_stripped() {
    let matrix = Matrix::new(TOKENS, |auth| auth);
    let mut table = Table::new();
    for (lines, expected, rest) in ROWS {
        let outcome = matrix
            .send(|client| with_lines(client.websocket("/ws"), &SEC_WEBSOCKET_PROTOCOL, lines))
            .await;
        table.row(lines, expected, &outcome);
        let received = outcome.received_lines("sec-websocket-protocol");
        table.row(
            (lines, "received"),
            format!("{rest:?}"),
            format!("{received:?}"),
        );
    }
    table.finish();
}

/// The marker means that its token was accepted. A token in another carrier does not count.
#[tokio::test]
async fn marker_is_echoed_only_with_its_token() {
    #[rustfmt::skip]
    let rows: [(&[&str], &str); 4] = [
        (&["v1.bearer"], "open alice by authorization"),
        (&["v1.bearer", "chat.v2"], "open alice by authorization, echo chat.v2"),
        (&["chat.v1"], "open alice by authorization, echo chat.v1"),
        // One credential in two carriers: the token of the subprotocol is accepted as well.
        (&["v1.bearer", "v1.bearer.czNjcmV0"], "open alice by authorization, echo v1.bearer"),
    ];
    let matrix = Matrix::new(TOKENS, |auth| auth);
    let mut table = Table::new();
    for (entries, expected) in rows {
        let outcome = matrix
            .send(|client| {
                let handshake = client.websocket("/ws").bearer("s3cret");
                handshake.protocols(entries.iter().copied())
            })
            .await;
        table.row(entries, expected, outcome);
    }
    table.finish();
}

/// A token in the subprotocol of an ordinary request is stripped as well.
#[tokio::test]
async fn subprotocol_is_not_a_carrier_outside_of_an_upgrade() {
    let matrix = Matrix::new(TOKENS, |auth| auth);
    let entries = ["v1.bearer.czNjcmV0", "chat.v2"];
    let alone = matrix
        .send(|client| client.get("/page").protocols(entries))
        .await;
    assert_eq!(alone.to_string(), "401 missing-credential");

    let with_header = matrix
        .send(|client| client.get("/page").protocols(entries).bearer("token"))
        .await;
    assert_eq!(with_header.to_string(), "200 dave by authorization");
    let received = with_header.received_lines("sec-websocket-protocol");
    assert_eq!(received, ["chat.v2"]);
}

/// Offers, and the choices of the inner service, are random. An entry that was not offered is never
/// echoed either.
#[test]
fn no_token_reaches_the_inner_service_or_the_response() {
    let has_token = |entry: &Vec<u8>| entry.starts_with(b"v1.bearer.");
    let mut called = 0;
    for seed in 0..100_000 {
        let mut random = Random(seed);
        let (offer, choice) = (random.header(), random.header());
        let is_connect = random.below(2) == 0;
        let (received, response) = admit(offer.clone(), choice.clone(), is_connect);

        let offered = entries(&offer);
        let context = format!("seed {seed}: offered {offer:?}, selected {choice:?}");
        if let Some(received) = received {
            called += 1;
            let rest = offered.iter().filter(|entry| !has_token(entry));
            assert!(entries(&received).iter().eq(rest), "{context}");
        }
        let echoed = response.headers().get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let echoed: Vec<_> = echoed.map(|line| line.as_bytes().to_vec()).collect();
        assert!(echoed.len() <= 1, "{context}: {echoed:?}");
        assert!(
            echoed.iter().all(|entry| offered.contains(entry)),
            "{context}: {echoed:?}"
        );
        assert!(!echoed.iter().any(has_token), "{context}: {echoed:?}");
    }
    assert!(called > 5_000, "only {called} offers were admitted");
}

/// Calls the layer in process, because 100,000 requests over a pipe take too long. Returns the
/// headers that the inner service received, if it was called, and the response.
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

    let received = Arc::new(Mutex::new(None));
    let record = Arc::clone(&received);
    let inner = service_fn(move |request: Request<()>| {
        *record.lock().unwrap() = Some(request.headers().clone());
        let mut response = Response::new(Bytes::new());
        *response.headers_mut() = choice.clone();
        *response.status_mut() = match is_connect {
            true => StatusCode::OK,
            false => StatusCode::SWITCHING_PROTOCOLS,
        };
        ready(Ok::<_, Infallible>(response))
    });
    let answer = AUTH.layer(inner).oneshot(request).now_or_never();
    let response = answer.expect("static tokens are verified immediately");
    let received = received.lock().unwrap().take();
    (received, response.unwrap())
}

fn entries(headers: &HeaderMap) -> Vec<Vec<u8>> {
    let typed: SecWebSocketProtocol = headers.typed_get().unwrap_or_default();
    typed.iter().map(<[u8]>::to_vec).collect()
}

/// Random headers from a seed (SplitMix64).
struct Random(u64);

impl Random {
    /// Some lines, each a list of names, tokens and random bytes with white space around them.
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
            0 => self.bytes(),
            1 => [b"v1.bearer.", &*self.bytes()].concat(),
            2..4 => self.pick(TOKENS).as_bytes().to_vec(),
            _ => self.pick(NAMES).as_bytes().to_vec(),
        };
        let spaces = [self.pick(SPACES), self.pick(SPACES)].map(str::as_bytes);
        [spaces[0], &entry, spaces[1]].concat()
    }

    /// Some bytes that are valid in a header.
    fn bytes(&mut self) -> Vec<u8> {
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
