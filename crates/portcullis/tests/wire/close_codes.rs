//! The close code of every cause, for every profile and dialect.
//!
//! A profile or dialect uses the codes of its ecosystem where that has one for the cause;
//! [`CloseCodes`] documents the exceptions. Other causes have the codes of the IANA registry. Every
//! close frame has a reason next to the code.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use portcullis::dialect::{Ddp, Fhir, FirstMessage, GraphqlWs, InBandRenewal};
use portcullis::session::RenewError;
use portcullis::testing::{TestRequest, TestSocket};
use portcullis::{
    AuthLayer, Credential, Profile, VerifyError, close::CloseCodes, session::Revocation,
};

use crate::support::{
    HttpVersion, SECOND, Table, TestServer, Tokens, bearer_entry, settle, wait_for_close,
};

/// Why a socket closes or is refused, in the order of the columns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cause {
    /// The client sends no credential.
    Missing,
    /// The verifier does not know the credential.
    Invalid,
    /// The credential has expired before the handshake.
    Expired,
    /// The credential is not valid for this service.
    Forbidden,
    /// The verifier is unavailable.
    Unavailable,
    /// The client sends no credential in time.
    Timeout,
    /// The credential and the leeway of an open socket end.
    Expires,
    /// The credential of an open socket is revoked.
    Revoked,
    /// A re-check rejects the credential of an open socket.
    RecheckInvalid,
    /// A renewal has a credential of another subject.
    OtherSubject,
    /// Re-checks fail until the grace period ends.
    RecheckUnavailable,
    /// The server shutting down.
    Shutdown,
}

use Cause::{
    Expired, Expires, Forbidden, Invalid, Missing, OtherSubject, RecheckInvalid,
    RecheckUnavailable, Revoked, Shutdown, Timeout, Unavailable,
};

const CAUSES: [Cause; 12] = [
    Missing,
    Invalid,
    Expired,
    Forbidden,
    Unavailable,
    Timeout,
    Expires,
    Revoked,
    RecheckInvalid,
    OtherSubject,
    RecheckUnavailable,
    Shutdown,
];

type Layer = AuthLayer<Tokens>;

/// A profile or a dialect, how its clients send a token, and the code of every cause. An empty
/// token stands for none.
struct Setup {
    name: &'static str,
    layer: fn(Layer) -> Layer,
    sends: Sends,
    codes: [u16; 12],
}

enum Sends {
    /// The token is an entry among these subprotocols.
    Offer(fn(&str) -> Vec<String>),
    /// The token is in these messages.
    Messages(fn(&str) -> Vec<String>),
}

use Sends::{Messages, Offer};

#[rustfmt::skip]
const SETUPS: &[Setup] = &[
    //                                                                      Missing     Expired     Unavailable Expires     RecheckInvalid RecheckUnavailable
    //                                                                            Invalid     Forbidden   Timeout     Revoked     OtherSubject Shutdown
    Setup { name: "default", layer: |it| it, sends: Offer(bearer), codes:        [3000, 3000, 3000, 3003, 1013, 3008, 3000, 3003, 3000, 3003, 1013, 1001] },
    Setup { name: "jupyter", layer: jupyter, sends: Offer(jep), codes:           [3000, 3000, 3000, 3003, 1013, 3008, 3000, 3003, 3000, 3003, 1013, 1001] },
    Setup { name: "kubernetes", layer: kubernetes, sends: Offer(k8s), codes:     [3000, 3000, 3000, 3003, 1013, 3008, 3000, 3003, 3000, 3003, 1013, 1001] },
    Setup { name: "phoenix", layer: phoenix, sends: Offer(phx), codes:           [3000, 3000, 1001, 3003, 1013, 3008, 1001, 1001, 3000, 3003, 1013, 1001] },
    Setup { name: "custom", layer: custom, sends: Offer(bearer), codes:          [4001, 4001, 4004, 4002, 4006, 4003, 4004, 4005, 4001, 4002, 4006, 4007] },
    // A dialect without codes of its own uses those of the profile.
    Setup { name: "first message", layer: first, sends: Messages(token), codes:  [3000, 3000, 3000, 3003, 1013, 3008, 3000, 3003, 3000, 3003, 1013, 1001] },
    Setup { name: "custom, first message", layer: custom_first, sends: Messages(token), codes:
                                                                                 [4001, 4001, 4004, 4002, 4006, 4003, 4004, 4005, 4001, 4002, 4006, 4007] },
    Setup { name: "in band", layer: in_band, sends: Messages(auth), codes:       [3000, 3000, 3000, 3003, 1013, 3008, 3000, 3003, 3000, 3003, 1013, 1001] },
    // A login without a token is answered with an error. The socket closes at the timeout.
    Setup { name: "ddp", layer: ddp, sends: Messages(login), codes:              [3008, 3000, 3000, 3003, 1013, 3008, 3000, 3003, 3000, 3003, 1013, 1001] },
    Setup { name: "graphql-ws", layer: graphql, sends: Messages(init), codes:    [4401, 4401, 4403, 4403, 1013, 4408, 4403, 4401, 4401, 4403, 1013, 1001] },
    Setup { name: "fhir", layer: fhir, sends: Messages(bind), codes:             [1002, 1002, 1002, 1002, 1013, 3008, 3000, 3003, 1002, 1002, 1013, 1001] },
];

#[tokio::test(start_paused = true)]
async fn each_cause_has_the_close_code_of_its_profile_or_dialect() {
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        for setup in SETUPS {
            for (cause, code) in CAUSES.into_iter().zip(setup.codes) {
                let close = setup.close(version, cause).await;
                let (actual, reason) = close.split_once(' ').unwrap_or((&close, ""));
                table.row((version, setup.name, cause), code, actual);
                assert_ne!(reason, "", "{} {cause:?}: {close}", setup.name);
            }
        }
    }
    table.finish();
}

/// By default a refusal is an HTTP response. Phoenix and Jupyter Server use 403 for every refusal.
#[tokio::test(start_paused = true)]
async fn refused_handshake_has_the_status_of_its_profile() {
    #[rustfmt::skip]
    let rows = [
        ("default", [401, 401, 401, 403, 503]),
        ("jupyter", [403, 403, 403, 403, 503]),
        ("kubernetes", [401, 401, 401, 403, 503]),
        ("phoenix", [403, 403, 403, 403, 503]),
    ];
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        for (name, statuses) in rows {
            let setup = SETUPS.iter().find(|setup| setup.name == name).unwrap();
            for (cause, status) in CAUSES.into_iter().zip(statuses) {
                let server = server(cause, setup.layer);
                let handshake = server.client(version).websocket("/echo");
                let request = setup.sends.request(handshake, cause.token());
                let refused = request.connect().await.unwrap_err();
                table.row((version, name, cause), status, refused.status().as_u16());
            }
        }
    }
    table.finish();
}

impl Setup {
    /// The close frame that a socket receives for this cause.
    async fn close(&self, version: HttpVersion, cause: Cause) -> String {
        let server = server(cause, |auth| {
            let auth = (self.layer)(auth).refuse_in_band();
            match (cause, &self.sends) {
                // A timeout needs a socket that opens before the client has authenticated.
                (Timeout, Offer(_)) => auth.dialect(FirstMessage::token()),
                _ => auth,
            }
        });
        let mut socket = self.connect(&server, version, cause).await;
        if !cause.closes_an_open_session() {
            let end = wait_for_close(&mut socket).await;
            assert_eq!(server.events.all(), [""; 0], "a session was opened");
            return end;
        }
        let [session] = &server.sessions.list()[..] else {
            panic!(
                "{} is not open: {}",
                self.name,
                wait_for_close(&mut socket).await
            );
        };
        match cause {
            Expires => {
                server.advance(84 * SECOND).await;
                assert_eq!(server.sessions.len(), 1, "closed before the deadline");
                server.advance(2 * SECOND).await;
            }
            Revoked => {
                let revoked = server
                    .sessions
                    .revoke(Revocation::subject(None, "alice"))
                    .await;
                assert_eq!(revoked.unwrap(), 1);
            }
            OtherSubject => {
                let bob = Credential::bearer("bob");
                let renewed = server.sessions.renew(session.id, bob).await;
                assert_eq!(renewed, Err(RenewError::OtherSubject));
            }
            RecheckInvalid => {
                server.tokens.set("good", Err(VerifyError::Invalid));
                server.advance(11 * SECOND).await;
            }
            RecheckUnavailable => {
                server.tokens.set("good", Err(VerifyError::unavailable()));
                server.advance(45 * SECOND).await;
            }
            Shutdown => {
                let shutdown = server.sessions.shutdown(5 * SECOND);
                let (remaining, end) = tokio::join!(shutdown, wait_for_close(&mut socket));
                assert_eq!(remaining, 0);
                return end;
            }
            _ => unreachable!("no session is open: {cause:?}"),
        }
        let end = wait_for_close(&mut socket).await;
        settle().await;
        server.assert_counts_match();
        end
    }

    /// Opens a socket and sends the token of this cause.
    async fn connect(&self, server: &TestServer, version: HttpVersion, cause: Cause) -> TestSocket {
        let handshake = server.client(version).websocket("/echo");
        let request = self.sends.request(handshake, cause.token());
        let opened = request.connect().await;
        let mut socket = opened.unwrap_or_else(|refused| {
            let name = self.name;
            panic!("{name} {cause:?}: {refused}")
        });
        if let Messages(messages) = self.sends
            && cause != Timeout
        {
            for text in messages(cause.token()) {
                // The socket of a refused client may close before its last message.
                let _ = socket.send(text).await;
                settle().await;
            }
        }
        settle().await;
        socket
    }
}

impl Cause {
    /// The token that the client sends.
    fn token(self) -> &'static str {
        match self {
            Missing | Timeout => "",
            Invalid => "wrong",
            Expired => "expired",
            Forbidden => "forbidden",
            Unavailable => "unavailable",
            Expires | Revoked | RecheckInvalid | OtherSubject | RecheckUnavailable | Shutdown => {
                "good"
            }
        }
    }

    fn closes_an_open_session(self) -> bool {
        self.token() == "good"
    }
}

impl Sends {
    fn request(&self, handshake: TestRequest, token: &str) -> TestRequest {
        match self {
            Offer(protocols) => handshake.protocols(protocols(token).iter().map(|it| &**it)),
            Messages(_) => handshake,
        }
    }
}

/// A server for every token. Its sessions have a leeway of 25 seconds, or re-checks if the cause is
/// one.
fn server(cause: Cause, layer: impl FnOnce(Layer) -> Layer) -> TestServer {
    let server = TestServer::with_layer(
        |sessions| match cause {
            RecheckInvalid | RecheckUnavailable => sessions
                .recheck_every(10 * SECOND)
                .recheck_grace(30 * SECOND),
            _ => sessions.leeway(25 * SECOND),
        },
        layer,
    );
    server.accept("good", "alice", 60 * SECOND);
    server.accept("bob", "bob", 120 * SECOND);
    server.tokens.set("expired", Err(VerifyError::Expired));
    server.tokens.set("forbidden", Err(VerifyError::Forbidden));
    server
        .tokens
        .set("unavailable", Err(VerifyError::unavailable()));
    server
}

fn jupyter(auth: Layer) -> Layer {
    auth.profile(Profile::jupyter())
}

fn kubernetes(auth: Layer) -> Layer {
    auth.profile(Profile::kubernetes())
}

fn phoenix(auth: Layer) -> Layer {
    auth.profile(Profile::phoenix())
}

/// Each field has a code of its own, so that a swap of two fields is detected.
fn custom(auth: Layer) -> Layer {
    let mut codes = CloseCodes::registered();
    (codes.unauthorized, codes.forbidden, codes.timeout) = (4001, 4002, 4003);
    (codes.expired, codes.revoked) = (4004, 4005);
    (codes.unavailable, codes.shutdown) = (4006, 4007);
    auth.profile(Profile::default().close_codes(codes))
}

fn first(auth: Layer) -> Layer {
    auth.dialect(FirstMessage::token())
}

fn custom_first(auth: Layer) -> Layer {
    first(custom(auth))
}

fn in_band(auth: Layer) -> Layer {
    auth.dialect(InBandRenewal::new().allow_pending())
}

fn ddp(auth: Layer) -> Layer {
    auth.dialect(Ddp::new())
}

fn graphql(auth: Layer) -> Layer {
    auth.dialect(GraphqlWs::new())
}

fn fhir(auth: Layer) -> Layer {
    auth.dialect(Fhir::new())
}

/// The subprotocol `name`, and the entry of the token if there is one.
fn offer(name: &str, entry: &str, token: &str) -> Vec<String> {
    let entry = (!token.is_empty()).then(|| entry.to_owned());
    [Some(name.to_owned()), entry]
        .into_iter()
        .flatten()
        .collect()
}

fn bearer(token: &str) -> Vec<String> {
    offer("v1.bearer", &bearer_entry(token), token)
}

fn jep(token: &str) -> Vec<String> {
    let name = "v1.token.websocket.jupyter.org";
    offer(name, &format!("{name}.{token}"), token)
}

fn k8s(token: &str) -> Vec<String> {
    let prefix = "base64url.bearer.authorization.k8s.io";
    let entry = format!("{prefix}.{}", URL_SAFE_NO_PAD.encode(token));
    offer("v5.channel.k8s.io", &entry, token)
}

fn phx(token: &str) -> Vec<String> {
    let entry = format!("base64url.bearer.phx.{}", STANDARD_NO_PAD.encode(token));
    offer("phoenix", &entry, token)
}

fn token(token: &str) -> Vec<String> {
    vec![token.to_owned()]
}

/// How often a client sends its token: a client that is refused may try three times.
fn tries(token: &str) -> usize {
    if token == "good" { 1 } else { 3 }
}

fn auth(token: &str) -> Vec<String> {
    match token {
        "" => vec!["hello".to_owned()],
        _ => vec![format!(r#"{{"type":"auth","token":"{token}"}}"#); tries(token)],
    }
}

fn login(token: &str) -> Vec<String> {
    let param = match token {
        "" => "{}".to_owned(),
        _ => format!(r#"{{"resume":"{token}"}}"#),
    };
    let login = format!(r#"{{"msg":"method","method":"login","id":"1","params":[{param}]}}"#);
    let connect = r#"{"msg":"connect","version":"1","support":["1"]}"#.to_owned();
    [vec![connect], vec![login; tries(token)]].concat()
}

fn init(token: &str) -> Vec<String> {
    let payload = match token {
        "" => "{}".to_owned(),
        _ => format!(r#"{{"token":"{token}"}}"#),
    };
    vec![format!(
        r#"{{"type":"connection_init","payload":{payload}}}"#
    )]
}

fn bind(token: &str) -> Vec<String> {
    vec![format!("bind-with-token {token}")]
}
