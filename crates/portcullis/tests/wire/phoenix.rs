//! Phoenix 1.8: its subprotocols, and both alphabets of its base64.

use portcullis::Profile;

use crate::support::ecosystem::{
    Abbreviations, Opens, OpensBare, Refused, Row, app, check_rows, row,
};

const ABBREVIATIONS: Abbreviations = Abbreviations(&[
    ("{P}", "base64url.bearer.phx."),
    ("{T}", "dG9rZW4"),
    ("{W}", "d3Jvbmc"),
]);

const TOKENS: &[(&str, &str)] = &[("myuser", "token"), ("other", "tök?en>>"), ("third", "??>")];

const PROTOCOL: &str = "sec-websocket-protocol";

#[tokio::test]
async fn handshakes_have_the_outcome_of_phoenix() {
    check_rows(
        app(Profile::phoenix(), TOKENS, &["chat"]),
        &ABBREVIATIONS,
        ROWS,
    )
    .await;
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("marker, token entry", "", &[(PROTOCOL, "phoenix, {P}{T}")], Opens("phoenix")),
    row("marker, token entry, protocol", "", &[(PROTOCOL, "phoenix, {P}{T}, chat")], Opens("chat")),
    // Phoenix ignores both and continues without a token. Here two tokens are malformed.
    row("token entry twice", "", &[(PROTOCOL, "phoenix, {P}{T}, {P}{T}")], Refused(400)),
    row("token entry alone", "", &[(PROTOCOL, "{P}{T}")], OpensBare),
    row("wrong token entry", "", &[(PROTOCOL, "phoenix, {P}{W}")], Refused(403)),
    row("marker alone", "", &[(PROTOCOL, "phoenix")], Refused(403)),
    row("standard base64", "", &[(PROTOCOL, "phoenix, {P}dMO2az9lbj4+")], Opens("phoenix")),
    row("standard base64, short token", "", &[(PROTOCOL, "phoenix, {P}Pz8+")], Opens("phoenix")),
    row("base64url", "", &[(PROTOCOL, "phoenix, {P}dMO2az9lbj4-")], Opens("phoenix")),
    row("both alphabets", "", &[(PROTOCOL, "phoenix, {P}dMO2-z9lbj4+")], Refused(400)),
    // Phoenix responds with 500 to these.
    row("padding", "", &[(PROTOCOL, "phoenix, {P}dG9rZW4=")], Refused(400)),
    row("not base64", "", &[(PROTOCOL, "phoenix, {P}%%%")], Refused(400)),
    row("empty token entry", "", &[(PROTOCOL, "phoenix, {P}")], Refused(400)),
];
