//! What clients of each dialect say, and what comes of it: F1, G1, and the like of the others. By
//! which codes open sockets end is in [`codes`](crate::codes).

use portcullis::dialect::{Ddp, Fhir, FirstMessage, GraphqlWs, InBandRenewal};
use tokio::time::Instant;

use crate::greeter::Greeter;
use crate::live::{end_of, settle};
use crate::site::Over;
use crate::table::Table;

/// What a client says and how it ends, by dialect: the codes of protocols' own.
#[tokio::test(start_paused = true)]
async fn codes() {
    type Rows = &'static [(&'static str, &'static [&'static str], &'static str)];
    const INIT: &str = r#"{"type":"connection_init","payload":{"token":"good"}}"#;
    const CONNECT: &str = r#"{"msg":"connect","version":"1","support":["1"]}"#;
    const LOGIN: &str =
        r#"{"msg":"method","method":"login","id":"1","params":[{"resume":"wrong"}]}"#;
    const GOOD: &str = r#"{"msg":"method","method":"login","id":"1","params":[{"resume":"good"}]}"#;
    let first: Rows = &[
        ("silent", &[], "3008 after 5"),
        ("invalid", &["wrong"], "3000 after 0"),
        ("expired", &["past"], "3000 after 0"),
        ("forbidden", &["forbidden"], "3003 after 0"),
        ("unavailable", &["down"], "1013 after 0"),
        ("good", &["good"], "open"),
        ("twice", &["good", "good"], "open"),
    ];
    let in_band: Rows = &[
        ("silent", &[], "3008 after 5"),
        ("application first", &["hello"], "3000 after 0"),
        (
            "three tries",
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
        ("unavailable", &["bind-with-token down"], "1013 after 0"),
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
            &[r#"{"type":"connection_init","payload":{"token":"past"}}"#],
            "4403 after 0",
        ),
        (
            "no token",
            &[r#"{"type":"connection_init"}"#],
            "4401 after 0",
        ),
        ("nonsense", &["{"], "4400 after 0"),
        (
            "unavailable",
            &[r#"{"type":"connection_init","payload":{"token":"down"}}"#],
            "1013 after 0",
        ),
        ("good", &[INIT], "open"),
    ];
    let ddp: Rows = &[
        ("silent", &[], "3008 after 5"),
        ("connected, silent", &[CONNECT], "3008 after 5"),
        (
            "three logins",
            &[CONNECT, LOGIN, LOGIN, LOGIN],
            "3000 after 0",
        ),
        ("good", &[CONNECT, GOOD], "open"),
    ];
    let mut table = Table::new();
    for over in Over::BOTH {
        let sites: [(&str, Greeter, Rows); 5] = [
            (
                "first message",
                Greeter::new(FirstMessage::token(), |auth| auth),
                first,
            ),
            (
                "in band",
                Greeter::new(InBandRenewal::new().or_first(), |auth| auth),
                in_band,
            ),
            ("fhir", Greeter::new(Fhir::new(), |auth| auth), fhir),
            (
                "graphql",
                Greeter::new(GraphqlWs::new(), |auth| auth),
                graphql,
            ),
            ("ddp", Greeter::new(Ddp::new(), |auth| auth), ddp),
        ];
        for (dialect, site, rows) in sites {
            for (name, said, expected) in rows {
                let before = site.calls();
                let start = Instant::now();
                let mut socket = site.open(over).await;
                for text in *said {
                    let _ = socket.send(*text).await;
                    settle().await;
                }
                // Ten seconds are longer than every limit.
                let end = end_of(&mut socket).await;
                let seconds = start.elapsed().as_secs();
                let end = match end.split(' ').next() {
                    Some("open") => "open".to_owned(),
                    Some(code) => format!("{code} after {seconds}"),
                    None => "gone".to_owned(),
                };
                table.row((over, dialect, name), expected, end);
                let called = site.calls() - before;
                let comes_in = *expected == "open" || *name == "init twice";
                table.row(
                    (over, dialect, name, "called"),
                    usize::from(comes_in),
                    called,
                );
            }
        }
    }
    table.finish();
}
