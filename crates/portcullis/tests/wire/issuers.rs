//! Equal subjects of different issuers are different users, in limits, lists and revocations.

use std::time::Duration;

use portcullis::Identity;
use portcullis::session::{RenewError, Revocation};
use portcullis::testing::TestSocket;

use crate::support::{HOUR, HttpVersion, SECOND, Table, TestServer, wait_for_close};

/// A token, and the issuer of its identity. The subject is always `alice`.
const TOKENS: [(&str, Option<&str>); 3] = [
    ("none", None),
    ("a", Some("https://a.example")),
    ("b", Some("https://b.example")),
];

fn alice(server: &TestServer, issuer: Option<&str>, lifetime: Duration) -> Identity {
    let alice = server.identity("alice", lifetime).to_builder();
    match issuer {
        Some(issuer) => alice.issuer(issuer).build(),
        None => alice.build(),
    }
}

fn set_tokens(server: &TestServer) {
    for (token, issuer) in TOKENS {
        server.tokens.set(token, Ok(alice(server, issuer, HOUR)));
    }
}

async fn open_all(server: &TestServer, version: HttpVersion) -> Vec<(&'static str, TestSocket)> {
    set_tokens(server);
    let mut sockets = Vec::new();
    for (token, _) in TOKENS {
        sockets.push((token, server.open(version, "/idle", token).await));
    }
    sockets
}

#[tokio::test(start_paused = true)]
async fn session_limit_of_a_subject_is_that_of_one_issuer() {
    for version in HttpVersion::ALL {
        let server = TestServer::new(|sessions| sessions.max_sessions_per_subject(1));
        let _sockets = open_all(&server, version).await;
        for (token, _) in TOKENS {
            let refused = server.try_open(version, "/idle", token).await.unwrap_err();
            assert_eq!(refused.status(), 429, "{version:?} {token}");
        }
        server.assert_counts_match();
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_are_listed_by_issuer_and_subject() {
    let rows = [
        (None, "alice", 1),
        (Some("https://a.example"), "alice", 1),
        (Some("https://b.example"), "alice", 1),
        (Some("https://c.example"), "alice", 0),
        (Some(""), "alice", 0),
        (Some("https://a.example"), "bob", 0),
    ];
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        let server = TestServer::new(|sessions| sessions);
        let _sockets = open_all(&server, version).await;
        for (issuer, subject, expected) in rows {
            let listed = server.sessions.list_of(issuer, subject);
            table.row((version, issuer, subject), expected, listed.len());
            let has_issuer = listed.iter().all(|it| it.identity.issuer() == issuer);
            assert!(has_issuer, "{listed:?}");
        }
        assert_eq!(server.sessions.list().len(), TOKENS.len());
    }
    table.finish();
}

/// A revocation, and which of the three sockets it closes. The closed ones cannot open again.
#[tokio::test(start_paused = true)]
async fn revocation_of_a_subject_covers_one_issuer() {
    type Target = fn() -> Revocation;
    let rows: [(&str, Target, [bool; 3]); 8] = [
        (
            "without an issuer",
            || Revocation::subject(None, "alice"),
            [true, false, false],
        ),
        (
            "one issuer",
            || Revocation::subject("https://a.example", "alice"),
            [false, true, false],
        ),
        (
            "unknown issuer",
            || Revocation::subject("https://c.example", "alice"),
            [false; 3],
        ),
        (
            "subject of an identity",
            || {
                let identity = Identity::builder("alice").issuer("https://b.example");
                Revocation::subject_of(&identity.build())
            },
            [false, false, true],
        ),
        (
            "subject of an identity without an issuer",
            || Revocation::subject_of(&Identity::new("alice")),
            [true, false, false],
        ),
        (
            "any issuer",
            || Revocation::subject_at_any_issuer("alice"),
            [true; 3],
        ),
        (
            "another subject at any issuer",
            || Revocation::subject_at_any_issuer("bob"),
            [false; 3],
        ),
        (
            "everything of one issuer",
            || Revocation::everything().issuer("https://a.example"),
            [false, true, false],
        ),
    ];
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        for (name, target, expected) in &rows {
            let server = TestServer::new(|sessions| sessions);
            let mut sockets = open_all(&server, version).await;
            let closed = server.sessions.revoke(target()).await.unwrap();
            let count = expected.iter().filter(|closes| **closes).count();
            table.row((version, name, "closed"), count, closed);
            for ((token, socket), closes) in sockets.iter_mut().zip(expected) {
                let row = (version, name, *token);
                if *closes {
                    let close = wait_for_close(socket).await;
                    table.row(row, "3003 credential revoked", close);
                }
                let again = server.try_open(version, "/returns", token).await;
                table.row((row, "again"), !closes, again.is_ok());
            }
            server.advance(5 * SECOND).await;
            server.assert_counts_match();
        }
    }
    table.finish();
}

/// The session closes, because the credential belongs to another user.
#[tokio::test(start_paused = true)]
async fn renewal_requires_the_same_issuer() {
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        for (first, _) in TOKENS {
            for (second, issuer) in TOKENS {
                let server = TestServer::new(|sessions| sessions);
                set_tokens(&server);
                let mut socket = server.open(version, "/echo", first).await;
                let id = server.sessions.list()[0].id;
                let later = alice(&server, issuer, 2 * HOUR);
                let renewed = server.sessions.renew_with(id, later);
                let expected = match first == second {
                    true => Ok(2 * HOUR),
                    false => Err(RenewError::OtherSubject),
                };
                let row = (version, first, second);
                table.row(row, format!("{expected:?}"), format!("{renewed:?}"));
                if renewed.is_err() {
                    let close = wait_for_close(&mut socket).await;
                    table.row(row, "3003 credential of another subject", close);
                }
            }
        }
    }
    table.finish();
}
