//! Phoenix 1.8: the rows P1 to P3, and both alphabets of its base64.

use portcullis::Profile;

use crate::ecosystem::{Opens, OpensBare, Refused, Row, Shorthand, app, hold, row};

const SHORTHAND: Shorthand = Shorthand(&[
    ("{P}", "base64url.bearer.phx."),
    ("{T}", "dG9rZW4"),
    ("{W}", "d3Jvbmc"),
]);

const TOKENS: &[(&str, &str)] = &[("myuser", "token"), ("other", "tök?en>>"), ("third", "??>")];

const PROTOCOL: &str = "sec-websocket-protocol";

#[tokio::test]
async fn table() {
    hold(app(Profile::phoenix(), TOKENS, &["chat"]), &SHORTHAND, ROWS).await;
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("P1", "", &[(PROTOCOL, "phoenix, {P}{T}")], Opens("phoenix")),
    row("P1 application", "", &[(PROTOCOL, "phoenix, {P}{T}, chat")], Opens("chat")),
    // Phoenix overlooks both and goes on without a token. Two are a mistake here.
    row("P2", "", &[(PROTOCOL, "phoenix, {P}{T}, {P}{T}")], Refused(400)),
    row("P3", "", &[(PROTOCOL, "{P}{T}")], OpensBare),
    row("wrong", "", &[(PROTOCOL, "phoenix, {P}{W}")], Refused(403)),
    row("none", "", &[(PROTOCOL, "phoenix")], Refused(403)),
    row("btoa", "", &[(PROTOCOL, "phoenix, {P}dMO2az9lbj4+")], Opens("phoenix")),
    row("btoa with a slash", "", &[(PROTOCOL, "phoenix, {P}Pz8+")], Opens("phoenix")),
    row("base64url", "", &[(PROTOCOL, "phoenix, {P}dMO2az9lbj4-")], Opens("phoenix")),
    row("both alphabets", "", &[(PROTOCOL, "phoenix, {P}dMO2-z9lbj4+")], Refused(400)),
    // Phoenix answers 500 to these.
    row("padding", "", &[(PROTOCOL, "phoenix, {P}dG9rZW4=")], Refused(400)),
    row("no base64", "", &[(PROTOCOL, "phoenix, {P}%%%")], Refused(400)),
    row("empty", "", &[(PROTOCOL, "phoenix, {P}")], Refused(400)),
];
