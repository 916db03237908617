//! More than one credential in a request (RFC 6750 §2): two different explicit credentials are
//! refused, and no other credential rescues an invalid one.

use std::sync::Arc;

use futures_util::FutureExt;
use portcullis::carrier::{
    Carrier, CarrierConfig, QueryCarrier, SubprotocolCarrier, SubprotocolEncoding,
};
use portcullis::dialect::FirstMessage;
use portcullis::testing::{TestClient, TestRequest};
use portcullis::ticket::Binding;
use portcullis::{Identity, Profile, Tickets};

use crate::support::{Matrix, Outcome, Table, bearer_entry, every_carrier};

/// A carrier, in the order of the profile. A cookie and a message come last: next to an explicit
/// credential they decide nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum By {
    Bearer,
    Basic,
    Subprotocol,
    Query,
    TicketEntry,
    TicketQuery,
    Cookie,
    Message,
}

use By::{
    Basic, Bearer, Cookie as Cookies, Message as Messages, Query as Queries,
    Subprotocol as Subprotocols, TicketEntry, TicketQuery,
};

impl By {
    const ALL: [Self; 8] = [
        Bearer,
        Basic,
        Subprotocols,
        Queries,
        TicketEntry,
        TicketQuery,
        Cookies,
        Messages,
    ];

    fn carrier(self) -> Carrier {
        match self {
            Bearer | Basic => Carrier::Authorization,
            Subprotocols | TicketEntry => Carrier::Subprotocol,
            Queries | TicketQuery => Carrier::Query,
            Cookies => Carrier::Cookie,
            Messages => Carrier::Message,
        }
    }

    fn is_for_tickets(self) -> bool {
        matches!(self, TicketEntry | TicketQuery)
    }

    /// The outcome if this carrier decides and its credential is valid.
    fn opens(self) -> &'static str {
        match self {
            Bearer => BEARER,
            Basic => BASIC,
            Subprotocols | TicketEntry => SUBPROTOCOL,
            Queries | TicketQuery => QUERY,
            Cookies => COOKIE,
            Messages => MESSAGE,
        }
    }
}

const TOKENS: &[(&str, &str)] = &[
    ("alice", "s3cret"),
    ("alice", "an0ther"),
    ("bob", "hunter2"),
];

const CONFLICT: &str = "400 conflicting-credentials";
const MALFORMED: &str = "400 malformed-credential";
const INVALID: &str = "401 invalid-credential";
const CLOSED: &str = "closed 3000";
const BEARER: &str = "open alice by authorization";
const BASIC: &str = "open alice by authorization (basic)";
const SUBPROTOCOL: &str = "open alice by subprotocol";
const QUERY: &str = "open alice by query";
const COOKIE: &str = "open alice by cookie";
const MESSAGE: &str = "open alice by message";

/// The credentials in two carriers, in the order of the columns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pair {
    Equal,
    SameSubject,
    DifferentSubjects,
    FirstInvalid,
    SecondInvalid,
}

const COLUMNS: [Pair; 5] = [
    Pair::Equal,
    Pair::SameSubject,
    Pair::DifferentSubjects,
    Pair::FirstInvalid,
    Pair::SecondInvalid,
];

/// Two carriers, and the outcome of each pair of credentials.
#[rustfmt::skip]
const ROWS: &[(By, By, [&str; 5])] = &[
    // One header in two lines.
    (Bearer, Bearer, [MALFORMED; 5]),
    (Bearer, Basic, [MALFORMED; 5]),
    (Basic, Basic, [MALFORMED; 5]),
    // The same token in two carriers is one credential: VS Code sends it in the header and in the
    // query. The same holds for a ticket, which is redeemed once.
    (Bearer, Subprotocols, [BEARER, CONFLICT, CONFLICT, CONFLICT, CONFLICT]),
    (Bearer, Queries, [BEARER, CONFLICT, CONFLICT, CONFLICT, CONFLICT]),
    (Bearer, TicketEntry, [BEARER, CONFLICT, CONFLICT, CONFLICT, CONFLICT]),
    (Bearer, TicketQuery, [BEARER, CONFLICT, CONFLICT, CONFLICT, CONFLICT]),
    (Subprotocols, Queries, [SUBPROTOCOL, CONFLICT, CONFLICT, CONFLICT, CONFLICT]),
    (Subprotocols, TicketEntry, [SUBPROTOCOL, CONFLICT, CONFLICT, CONFLICT, CONFLICT]),
    (Subprotocols, TicketQuery, [SUBPROTOCOL, CONFLICT, CONFLICT, CONFLICT, CONFLICT]),
    (Queries, TicketEntry, [QUERY, CONFLICT, CONFLICT, CONFLICT, CONFLICT]),
    (Queries, TicketQuery, [QUERY, CONFLICT, CONFLICT, CONFLICT, CONFLICT]),
    (TicketEntry, TicketQuery, [SUBPROTOCOL, CONFLICT, CONFLICT, CONFLICT, CONFLICT]),
    // A password has a user name, so it never equals a token.
    (Basic, Subprotocols, [CONFLICT; 5]),
    (Basic, Queries, [CONFLICT; 5]),
    (Basic, TicketEntry, [CONFLICT; 5]),
    (Basic, TicketQuery, [CONFLICT; 5]),
    // Two credentials in one carrier are malformed, even if they are equal.
    (Subprotocols, Subprotocols, [MALFORMED; 5]),
    (Queries, Queries, [MALFORMED; 5]),
    (TicketEntry, TicketEntry, [MALFORMED; 5]),
    (TicketQuery, TicketQuery, [MALFORMED; 5]),
    (Cookies, Cookies, [MALFORMED; 5]),
    // A cookie next to an explicit credential decides nothing and rescues nothing.
    (Bearer, Cookies, [BEARER, BEARER, BEARER, INVALID, BEARER]),
    (Basic, Cookies, [BASIC, BASIC, BASIC, INVALID, BASIC]),
    (Subprotocols, Cookies, [SUBPROTOCOL, SUBPROTOCOL, SUBPROTOCOL, INVALID, SUBPROTOCOL]),
    (Queries, Cookies, [QUERY, QUERY, QUERY, INVALID, QUERY]),
    (TicketEntry, Cookies, [SUBPROTOCOL, SUBPROTOCOL, SUBPROTOCOL, INVALID, SUBPROTOCOL]),
    (TicketQuery, Cookies, [QUERY, QUERY, QUERY, INVALID, QUERY]),
    // The same holds for a message: the first message of an admitted client is not a credential,
    // and a client that is refused cannot send one.
    (Bearer, Messages, [BEARER, BEARER, BEARER, INVALID, BEARER]),
    (Basic, Messages, [BASIC, BASIC, BASIC, INVALID, BASIC]),
    (Subprotocols, Messages, [SUBPROTOCOL, SUBPROTOCOL, SUBPROTOCOL, INVALID, SUBPROTOCOL]),
    (Queries, Messages, [QUERY, QUERY, QUERY, INVALID, QUERY]),
    (TicketEntry, Messages, [SUBPROTOCOL, SUBPROTOCOL, SUBPROTOCOL, INVALID, SUBPROTOCOL]),
    (TicketQuery, Messages, [QUERY, QUERY, QUERY, INVALID, QUERY]),
    (Cookies, Messages, [COOKIE, COOKIE, COOKIE, INVALID, COOKIE]),
    // The first message is the credential. There is no second attempt.
    (Messages, Messages, [MESSAGE, MESSAGE, MESSAGE, CLOSED, MESSAGE]),
];

/// The table has each carrier with each other one, and with itself.
#[tokio::test]
async fn different_credentials_in_two_carriers_are_refused() {
    let tickets: Arc<Tickets> = Arc::new(Tickets::in_memory(["/ws"]));
    let matrix = matrix(&tickets);
    let mut table = Table::new();
    let mut pairs = 0;
    for (index, first) in By::ALL.into_iter().enumerate() {
        for second in By::ALL.into_iter().skip(index) {
            let is_this_pair = |row: &&(By, By, _)| (row.0, row.1) == (first, second);
            let rows: Vec<_> = ROWS.iter().filter(is_this_pair).collect();
            let [(_, _, expected)] = rows[..] else {
                panic!("{} rows of {first:?} and {second:?}", rows.len());
            };
            for (pair, expected) in COLUMNS.into_iter().zip(expected) {
                let outcome = matrix
                    .send_with_messages(|client| {
                        let [one, other] = secrets(&tickets, first, second, pair);
                        handshake(client, &[(first, &one), (second, &other)])
                    })
                    .await;
                let row = (first, second, pair);
                table.row(row, expected, &outcome);
                // A malformed request calls no verifier and consumes no ticket.
                let calls = usize::from(!expected.starts_with("400"));
                table.row((row, "verifier calls"), calls, outcome.verifier_calls);
                assert_stripped(&outcome);
            }
            pairs += 1;
        }
    }
    table.finish();
    assert_eq!(pairs, ROWS.len(), "rows of unknown carriers");
}

/// The rows have the carriers of the profile, and the message. `Authorization` is one carrier with
/// two schemes.
#[test]
fn table_covers_every_carrier() {
    let profile = profile();
    let configured = profile.carriers().iter().map(CarrierConfig::carrier);
    let mut configured: Vec<_> = configured.chain([Carrier::Message]).collect();
    let covered = By::ALL.into_iter().filter(|by| *by != Basic);
    let mut covered: Vec<_> = covered.map(By::carrier).collect();
    for carriers in [&mut configured, &mut covered] {
        carriers.sort_by_key(|carrier| carrier.as_str());
    }
    assert_eq!(configured, covered);
}

/// The layer strips all of them, whichever one decides.
#[tokio::test]
async fn every_carrier_is_stripped() {
    let token = |by| (by, "s3cret");
    #[rustfmt::skip]
    let rows: [(&[(By, &str)], &str); 8] = [
        (&[token(Cookies)], COOKIE),
        (&[token(Messages)], MESSAGE),
        (&[token(Bearer), token(Subprotocols), token(Queries), token(TicketEntry), token(TicketQuery),
            token(Cookies), token(Messages)], BEARER),
        (&[token(Subprotocols), token(TicketQuery), (TicketEntry, "an0ther")], CONFLICT),
        (&[token(Subprotocols), token(Queries), token(Cookies)], SUBPROTOCOL),
        (&[token(Bearer), token(Subprotocols), (Queries, "hunter2")], CONFLICT),
        (&[token(Bearer), token(Subprotocols), (Cookies, "wrong")], BEARER),
        (&[(Queries, "wrong"), (Bearer, "wrong"), token(Cookies)], INVALID),
    ];
    let matrix = matrix(&Arc::new(Tickets::in_memory(["/ws"])));
    let mut table = Table::new();
    for (sent, expected) in rows {
        let outcome = matrix
            .send_with_messages(|client| handshake(client, sent))
            .await;
        table.row(sent, expected, &outcome);
        assert_stripped(&outcome);
    }
    table.finish();
}

/// Adds a malformed credential.
type Add = fn(TestRequest) -> TestRequest;

/// A malformed cookie does not invalidate a token.
#[tokio::test]
async fn malformed_credential_is_not_rescued() {
    let matrix = matrix(&Arc::new(Tickets::in_memory(["/ws"])));
    let broken: [(&str, Add, &str); 4] = [
        (
            "Digest",
            |r| r.header("authorization", "Digest x"),
            "401 unsupported-scheme",
        ),
        (
            "Bearer =",
            |r| r.header("authorization", "Bearer ="),
            MALFORMED,
        ),
        (
            "v1.bearer.~",
            |r| r.header("sec-websocket-protocol", "v1.bearer.~"),
            MALFORMED,
        ),
        ("s=\"", |r| r.header("cookie", "s=\""), MALFORMED),
    ];
    let mut table = Table::new();
    for by in By::ALL {
        for (name, add, expected) in broken {
            let expected = match (by, name) {
                // Two `Authorization` lines; or the cookie decides.
                (Bearer | Basic, "Digest") | (Cookies | Messages, "s=\"") => MALFORMED,
                (_, "s=\"") => by.opens(),
                _ => expected,
            };
            let outcome = matrix
                .send_with_messages(|client| {
                    let (request, messages) = credentials(client, &[(by, "s3cret")]);
                    (add(request).into_request(), messages)
                })
                .await;
            table.row((by, name), expected, &outcome);
            assert_stripped(&outcome);
        }
    }
    table.finish();
}

/// [`every_carrier`], and two carriers for tickets.
fn profile() -> Profile {
    let ticket = SubprotocolCarrier::prefixed("v1.ticket.", SubprotocolEncoding::Percent);
    every_carrier()
        .carrier(ticket.marker("v1.ticket"))
        .carrier(QueryCarrier::named("ticket"))
}

/// Clients may also authenticate with their first message.
fn matrix(tickets: &Arc<Tickets>) -> Matrix {
    Matrix::with_tickets(TOKENS, Some(tickets), |auth| {
        auth.profile(profile()).dialect(FirstMessage::token())
    })
}

/// The secrets in the two carriers. A carrier for tickets has a new ticket.
fn secrets(tickets: &Tickets, first: By, second: By, pair: Pair) -> [String; 2] {
    let ticket = |subject| {
        let identity = Identity::new(subject);
        let minting = tickets.mint(&identity, Binding::default());
        let minted = minting.now_or_never().expect("the store is in memory");
        minted.unwrap().expose_secret().to_owned()
    };
    let valid = |by: By, subject: &'static str, token: &str| match by.is_for_tickets() {
        true => ticket(subject),
        false => token.to_owned(),
    };
    let invalid = |by: By| match by.is_for_tickets() {
        true => "A".repeat(22),
        false => "wrong".to_owned(),
    };
    match pair {
        Pair::Equal => {
            let by = if first.is_for_tickets() {
                first
            } else {
                second
            };
            let one = valid(by, "alice", "s3cret");
            [one.clone(), one]
        }
        Pair::SameSubject => [
            valid(first, "alice", "s3cret"),
            valid(second, "alice", "an0ther"),
        ],
        Pair::DifferentSubjects => [
            valid(first, "alice", "s3cret"),
            valid(second, "bob", "hunter2"),
        ],
        Pair::FirstInvalid => [invalid(first), valid(second, "alice", "s3cret")],
        Pair::SecondInvalid => [valid(first, "alice", "s3cret"), invalid(second)],
    }
}

fn handshake(
    client: &TestClient,
    sent: &[(By, &str)],
) -> (http::Request<bytes::Bytes>, Vec<String>) {
    let (request, messages) = credentials(client, sent);
    (request.into_request(), messages)
}

/// A same-origin handshake with these credentials and with another subprotocol, and the messages
/// that follow it.
fn credentials(client: &TestClient, sent: &[(By, &str)]) -> (TestRequest, Vec<String>) {
    let mut query = Vec::new();
    let mut messages = Vec::new();
    for (by, token) in sent {
        match by {
            Queries => query.push(format!("token={token}")),
            TicketQuery => query.push(format!("ticket={token}")),
            Messages => messages.push((*token).to_owned()),
            _ => {}
        }
    }
    let request = client.websocket(&format!("/ws?{}", query.join("&")));
    let request = request.origin("http://localhost").protocols(["other"]);
    let request = sent.iter().fold(request, |request, (by, token)| match by {
        Bearer => request.bearer(token),
        Basic => request.basic("alice", token),
        Subprotocols => request.protocols([&*bearer_entry(token)]),
        TicketEntry => request.protocols([&*format!("v1.ticket.{token}")]),
        Cookies => request.header("cookie", format!("s={token}")),
        Queries | TicketQuery | Messages => request,
    });
    (request, messages)
}

/// Checks that no credential reached the handler.
fn assert_stripped(outcome: &Outcome) {
    if outcome.received.is_some() {
        assert!(
            outcome.received_lines("authorization").is_empty(),
            "{outcome:?}"
        );
        assert!(outcome.received_lines("cookie").is_empty(), "{outcome:?}");
        assert_eq!(outcome.received_lines("sec-websocket-protocol"), ["other"]);
        let (uri, original) = outcome.uris();
        for name in ["token", "ticket"] {
            assert!(!uri.contains(name) && !original.contains(name));
        }
    }
}
