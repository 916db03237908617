//! More than one credential: RFC 6750 §2. Two different explicit ones are a mistake and no race,
//! and nothing rescues a bad one.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use portcullis::carrier::{Carrier, Query, Reader, Subprotocol, SubprotocolEncoding};
use portcullis::dialect::FirstMessage;
use portcullis::testing::{TestClient, TestRequest};
use portcullis::ticket::Binding;
use portcullis::{Identity, Profile, Tickets};

use crate::outcome::Outcome;
use crate::site::{Site, every_carrier};
use crate::table::Table;

/// A carrier of the site, in the order of its profile; those that decide nothing beside others are
/// the last.
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

    /// Whether it is the place of tickets.
    fn is_for_tickets(self) -> bool {
        matches!(self, TicketEntry | TicketQuery)
    }

    /// What comes of it if it decides.
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

/// What two carriers bear, in the order of the columns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Bear {
    TheSame,
    TwoOfOneSubject,
    TwoOfTwoSubjects,
    ABadOneFirst,
    ABadOneSecond,
}

const COLUMNS: [Bear; 5] = [
    Bear::TheSame,
    Bear::TwoOfOneSubject,
    Bear::TwoOfTwoSubjects,
    Bear::ABadOneFirst,
    Bear::ABadOneSecond,
];

/// Two carriers, and what comes of them.
#[rustfmt::skip]
const ROWS: &[(By, By, [&str; 5])] = &[
    // One header in two lines.
    (Bearer, Bearer, [MALFORMED; 5]),
    (Bearer, Basic, [MALFORMED; 5]),
    (Basic, Basic, [MALFORMED; 5]),
    // The same token twice is one credential: VS Code sends the header and the query. So is a
    // ticket, and it is redeemed once.
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
    // A password has a name beside it, so it is never the same as a token.
    (Basic, Subprotocols, [CONFLICT; 5]),
    (Basic, Queries, [CONFLICT; 5]),
    (Basic, TicketEntry, [CONFLICT; 5]),
    (Basic, TicketQuery, [CONFLICT; 5]),
    // Twice in one carrier is malformed, also if both are the same.
    (Subprotocols, Subprotocols, [MALFORMED; 5]),
    (Queries, Queries, [MALFORMED; 5]),
    (TicketEntry, TicketEntry, [MALFORMED; 5]),
    (TicketQuery, TicketQuery, [MALFORMED; 5]),
    (Cookies, Cookies, [MALFORMED; 5]),
    // A cookie beside an explicit credential decides nothing, and rescues nothing.
    (Bearer, Cookies, [BEARER, BEARER, BEARER, INVALID, BEARER]),
    (Basic, Cookies, [BASIC, BASIC, BASIC, INVALID, BASIC]),
    (Subprotocols, Cookies, [SUBPROTOCOL, SUBPROTOCOL, SUBPROTOCOL, INVALID, SUBPROTOCOL]),
    (Queries, Cookies, [QUERY, QUERY, QUERY, INVALID, QUERY]),
    (TicketEntry, Cookies, [SUBPROTOCOL, SUBPROTOCOL, SUBPROTOCOL, INVALID, SUBPROTOCOL]),
    (TicketQuery, Cookies, [QUERY, QUERY, QUERY, INVALID, QUERY]),
    // Nor does a message: who is let in has said who it is, and says no more of it in the first
    // message; who is not let in has nowhere to say it.
    (Bearer, Messages, [BEARER, BEARER, BEARER, INVALID, BEARER]),
    (Basic, Messages, [BASIC, BASIC, BASIC, INVALID, BASIC]),
    (Subprotocols, Messages, [SUBPROTOCOL, SUBPROTOCOL, SUBPROTOCOL, INVALID, SUBPROTOCOL]),
    (Queries, Messages, [QUERY, QUERY, QUERY, INVALID, QUERY]),
    (TicketEntry, Messages, [SUBPROTOCOL, SUBPROTOCOL, SUBPROTOCOL, INVALID, SUBPROTOCOL]),
    (TicketQuery, Messages, [QUERY, QUERY, QUERY, INVALID, QUERY]),
    (Cookies, Messages, [COOKIE, COOKIE, COOKIE, INVALID, COOKIE]),
    // The first is the credential, and there is no second try.
    (Messages, Messages, [MESSAGE, MESSAGE, MESSAGE, CLOSED, MESSAGE]),
];

/// Every carrier beside every other, and beside itself.
#[tokio::test]
async fn pairs() {
    let tickets: Arc<Tickets> = Arc::new(Tickets::in_memory(["/ws"]));
    let site = site(&tickets);
    let mut table = Table::new();
    let mut pairs = 0;
    for (index, first) in By::ALL.into_iter().enumerate() {
        for second in By::ALL.into_iter().skip(index) {
            let is_of_them = |row: &&(By, By, _)| (row.0, row.1) == (first, second);
            let rows: Vec<_> = ROWS.iter().filter(is_of_them).collect();
            let [(_, _, expected)] = rows[..] else {
                panic!("{} rows of {first:?} and {second:?}", rows.len());
            };
            for (bear, expected) in COLUMNS.into_iter().zip(expected) {
                let outcome = site
                    .converse(|client| {
                        let [one, other] = secrets(&tickets, first, second, bear);
                        handshake(client, &[(first, &one), (second, &other)])
                    })
                    .await;
                table.row((first, second, bear), expected, &outcome);
                // A mistake costs the verifier no question, and uses no ticket up.
                let asked = usize::from(!expected.starts_with("400"));
                table.row((first, second, bear, "asked"), asked, outcome.asked);
                assert_clean(&outcome);
            }
            pairs += 1;
        }
    }
    table.finish();
    assert_eq!(pairs, ROWS.len(), "rows of other carriers");
}

/// What the site reads has its rows: a carrier for each reader, and one for the message. The header
/// has one reader of its two schemes.
#[test]
fn every_carrier_has_its_rows() {
    let profile = profile();
    let readers = profile.carriers().iter().map(Reader::carrier);
    let mut read: Vec<_> = readers.chain([Carrier::Message]).collect();
    let ours = By::ALL.into_iter().filter(|by| *by != Basic);
    let mut ours: Vec<_> = ours.map(By::carrier).collect();
    for carriers in [&mut read, &mut ours] {
        carriers.sort_by_key(|carrier| carrier.as_str());
    }
    assert_eq!(read, ours);
}

/// Whichever carrier decides, all of them are emptied.
#[tokio::test]
async fn more_than_two() {
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
    let site = site(&Arc::new(Tickets::in_memory(["/ws"])));
    let mut table = Table::new();
    for (sent, expected) in rows {
        let outcome = site.converse(|client| handshake(client, sent)).await;
        table.row(sent, expected, &outcome);
        assert_clean(&outcome);
    }
    table.finish();
}

/// Adds something that cannot be read.
type Add = fn(TestRequest) -> TestRequest;

/// What cannot be read is not rescued either, and a broken cookie spoils no token.
#[tokio::test]
async fn malformed_ones() {
    let site = site(&Arc::new(Tickets::in_memory(["/ws"])));
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
                // Two lines, whatever is in them; and nothing explicit to decide.
                (Bearer | Basic, "Digest") | (Cookies | Messages, "s=\"") => MALFORMED,
                (_, "s=\"") => by.opens(),
                _ => expected,
            };
            let outcome = site
                .converse(|client| {
                    let (request, says) = credentials(client, &[(by, "s3cret")]);
                    (add(request).into_request(), says)
                })
                .await;
            table.row((by, name), expected, &outcome);
            assert_clean(&outcome);
        }
    }
    table.finish();
}

/// Every carrier of [`every_carrier`], and two for tickets.
fn profile() -> Profile {
    let ticket = Subprotocol::prefixed("v1.ticket.", SubprotocolEncoding::Percent);
    every_carrier()
        .carrier(ticket.marker("v1.ticket"))
        .carrier(Query::named("ticket"))
}

/// A site of this profile, whose clients may also say who they are in their first message.
fn site(tickets: &Arc<Tickets>) -> Site {
    Site::with_tickets(TOKENS, Some(tickets), |auth| {
        auth.profile(profile()).dialect(FirstMessage::token())
    })
}

/// What the first and the second carrier bear: tickets, fresh ones, where it is their place.
fn secrets(tickets: &Tickets, first: By, second: By, bear: Bear) -> [String; 2] {
    let ticket = |subject| {
        let identity = Identity::new(subject);
        let minting = tickets.mint(&identity, Binding::default());
        let minted = minting.now_or_never().expect("memory does not wait");
        minted.unwrap().expose_secret().to_owned()
    };
    let good = |by: By, subject: &'static str, token: &str| match by.is_for_tickets() {
        true => ticket(subject),
        false => token.to_owned(),
    };
    let bad = |by: By| match by.is_for_tickets() {
        true => "A".repeat(22),
        false => "wrong".to_owned(),
    };
    match bear {
        Bear::TheSame => {
            let by = if first.is_for_tickets() {
                first
            } else {
                second
            };
            let one = good(by, "alice", "s3cret");
            [one.clone(), one]
        }
        Bear::TwoOfOneSubject => [
            good(first, "alice", "s3cret"),
            good(second, "alice", "an0ther"),
        ],
        Bear::TwoOfTwoSubjects => [
            good(first, "alice", "s3cret"),
            good(second, "bob", "hunter2"),
        ],
        Bear::ABadOneFirst => [bad(first), good(second, "alice", "s3cret")],
        Bear::ABadOneSecond => [good(first, "alice", "s3cret"), bad(second)],
    }
}

fn handshake(
    client: &TestClient,
    borne: &[(By, &str)],
) -> (http::Request<bytes::Bytes>, Vec<String>) {
    let (request, says) = credentials(client, borne);
    (request.into_request(), says)
}

/// A handshake of our own page, with a protocol of the application beside whatever bears a token;
/// and what the page says after it.
fn credentials(client: &TestClient, borne: &[(By, &str)]) -> (TestRequest, Vec<String>) {
    let mut query = Vec::new();
    let mut says = Vec::new();
    for (by, token) in borne {
        match by {
            Queries => query.push(format!("token={token}")),
            TicketQuery => query.push(format!("ticket={token}")),
            Messages => says.push((*token).to_owned()),
            _ => {}
        }
    }
    let request = client.websocket(&format!("/ws?{}", query.join("&")));
    let request = request.origin("http://localhost").protocols(["other"]);
    let request = borne.iter().fold(request, |request, (by, token)| match by {
        Bearer => request.bearer(token),
        Basic => request.basic("alice", token),
        Subprotocols => {
            let entry = format!("v1.bearer.{}", URL_SAFE_NO_PAD.encode(token));
            request.protocols([&*entry])
        }
        TicketEntry => request.protocols([&*format!("v1.ticket.{token}")]),
        Cookies => request.header("cookie", format!("s={token}")),
        Queries | TicketQuery | Messages => request,
    });
    (request, says)
}

/// No carrier is left, whichever decided.
fn assert_clean(outcome: &Outcome) {
    if outcome.seen.is_some() {
        assert!(outcome.left("authorization").is_empty(), "{outcome:?}");
        assert!(outcome.left("cookie").is_empty(), "{outcome:?}");
        assert_eq!(outcome.left("sec-websocket-protocol"), ["other"]);
        let (address, original) = outcome.addresses();
        for name in ["token", "ticket"] {
            assert!(!address.contains(name) && !original.contains(name));
        }
    }
}
