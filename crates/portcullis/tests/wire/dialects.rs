//! The messages of each dialect and how the socket closes. The close codes of open sessions are in
//! [`close_codes`](crate::close_codes).

use portcullis::dialect::{Ddp, Fhir, FirstMessage, GraphqlWs, InBandRenewal};
use tokio::time::Instant;

use crate::support::{HttpVersion, MessageAuthServer, Table, settle, wait_for_close};

#[tokio::test(start_paused = true)]
async fn each_dialect_closes_with_its_own_codes() {
    /// A name, the messages of the client, and the close code with its time in seconds.
    type Rows = &'static [(&'static str, &'static [&'static str], &'static str)];
    const INIT: &str = r#"{"type":"connection_init","payload":{"token":"good"}}"#;
    const CONNECT: &str = r#"{"msg":"connect","version":"1","support":["1"]}"#;
    const WRONG: &str =
        r#"{"msg":"method","method":"login","id":"1","params":[{"resume":"wrong"}]}"#;
    const GOOD: &str = r#"{"msg":"method","method":"login","id":"1","params":[{"resume":"good"}]}"#;
    let first: Rows = &[
        ("silent", &[], "3008 after 5"),
        ("invalid", &["wrong"], "3000 after 0"),
        ("expired", &["expired"], "3000 after 0"),
        ("forbidden", &["forbidden"], "3003 after 0"),
        ("unavailable", &["unavailable"], "1013 after 0"),
        ("good", &["good"], "open"),
        ("twice", &["good", "good"], "open"),
    ];
    let in_band: Rows = &[
        ("silent", &[], "3008 after 5"),
        ("application first", &["hello"], "3000 after 0"),
        (
            "three attempts",
            &[r#"{"type":"auth","token":"x"}"#; 3],
            "3000 after 0",
        ),
        ("good", &[r#"{"type":"auth","token":"good"}"#], "open"),
    ];
    let fhir: Rows = &[
        ("silent", &[], "3008 after 5"),
        ("bind", &["bind 123"], "1002 after 0"),
        ("other", &["hello"], "1002 after 0"),
        ("no token", &["bind-with-token"], "1002 after 0"),
        ("invalid", &["bind-with-token wrong"], "1002 after 0"),
        (
            "unavailable",
            &["bind-with-token unavailable"],
            "1013 after 0",
        ),
        ("space", &["bind-with-token good"], "open"),
        ("colon", &["bind-with-token: good"], "open"),
        ("colon alone", &["bind-with-token:good"], "open"),
        (
            "medplum",
            &[r#"{"type":"bind-with-token","payload":{"token":"good"}}"#],
            "open",
        ),
    ];
    let graphql: Rows = &[
        ("no init", &[], "4408 after 3"),
        ("init twice", &[INIT, INIT], "4429 after 0"),
        (
            "subscribe first",
            &[r#"{"type":"subscribe","id":"1","payload":{}}"#],
            "4401 after 0",
        ),
        (
            "denied",
            &[r#"{"type":"connection_init","payload":{"token":"forbidden"}}"#],
            "4403 after 0",
        ),
        (
            "invalid",
            &[r#"{"type":"connection_init","payload":{"token":"wrong"}}"#],
            "4401 after 0",
        ),
        (
            "expired",
            &[r#"{"type":"connection_init","payload":{"token":"expired"}}"#],
            "4403 after 0",
        ),
        (
            "no token",
            &[r#"{"type":"connection_init"}"#],
            "4401 after 0",
        ),
        ("invalid JSON", &["{"], "4400 after 0"),
        (
            "unavailable",
            &[r#"{"type":"connection_init","payload":{"token":"unavailable"}}"#],
            "1013 after 0",
        ),
        ("good", &[INIT], "open"),
    ];
    let ddp: Rows = &[
        ("silent", &[], "3008 after 5"),
        ("connected, silent", &[CONNECT], "3008 after 5"),
        (
            "three logins",
            &[CONNECT, WRONG, WRONG, WRONG],
            "3000 after 0",
        ),
        ("good", &[CONNECT, GOOD], "open"),
    ];
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        let servers: [(&str, MessageAuthServer, Rows); 5] = [
            (
                "first message",
                MessageAuthServer::new(FirstMessage::token(), |auth| auth),
                first,
            ),
            (
                "in band",
                MessageAuthServer::new(InBandRenewal::new().allow_pending(), |auth| auth),
                in_band,
            ),
            (
                "fhir",
                MessageAuthServer::new(Fhir::new(), |auth| auth),
                fhir,
            ),
            (
                "graphql",
                MessageAuthServer::new(GraphqlWs::new(), |auth| auth),
                graphql,
            ),
            ("ddp", MessageAuthServer::new(Ddp::new(), |auth| auth), ddp),
        ];
        for (dialect, server, rows) in servers {
            for (name, messages, expected) in rows {
                let before = server.calls();
                let start = Instant::now();
                let mut socket = server.open(version).await;
                for text in *messages {
                    let _ = socket.send(*text).await;
                    settle().await;
                }
                // This waits for ten seconds, which is longer than every timeout.
                let end = wait_for_close(&mut socket).await;
                let seconds = start.elapsed().as_secs();
                let end = match end.split(' ').next() {
                    Some("open") => "open".to_owned(),
                    Some(code) => format!("{code} after {seconds}"),
                    None => "eof".to_owned(),
                };
                table.row((version, dialect, name), expected, end);
                let calls = server.calls() - before;
                let is_admitted = *expected == "open" || *name == "init twice";
                let row = (version, dialect, name, "handler calls");
                table.row(row, usize::from(is_admitted), calls);
            }
        }
    }
    table.finish();
}
