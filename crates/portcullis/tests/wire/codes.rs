//! The close codes, as one table: by which code a client of each world learns what has become of
//! its socket, or why it has got none.
//!
//! A world is a profile or a dialect. Where its own servers and clients have a code for a moment,
//! that is ours; [`CloseCodes`] says where it is not, and why. The registry's codes stand for the
//! rest. Whatever ends a socket, its frame has a reason beside the code.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use portcullis::dialect::{Ddp, Fhir, FirstMessage, GraphqlWs, InBandRenewal};
use portcullis::session::RenewError;
use portcullis::testing::{TestRequest, TestSocket};
use portcullis::{AuthLayer, CloseCodes, Credential, Profile, Revocation, VerifyError};

use crate::live::{Live, Tokens, end_of, settle};
use crate::site::Over;
use crate::table::Table;

const SECOND: Duration = Duration::from_secs(1);

/// What becomes of a socket, in the order of the columns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Moment {
    /// The client shows no credential.
    Missing,
    /// Nobody's credential.
    Invalid,
    /// One that was good once.
    Past,
    /// One that is not good for this.
    Forbidden,
    /// The verifier cannot tell.
    Unavailable,
    /// The client says nothing until it is too late.
    Late,
    /// The credential of an open socket ends, and so does the leeway after it.
    Expires,
    /// It is taken back.
    Revoked,
    /// The verifier, asked again, does not know it any more.
    Unknown,
    /// A renewal is of somebody else.
    OtherSubject,
    /// The verifier, asked again, cannot tell for too long.
    Away,
    /// The server ends.
    Shutdown,
}

use Moment::{
    Away, Expires, Forbidden, Invalid, Late, Missing, OtherSubject, Past, Revoked, Shutdown,
    Unavailable, Unknown,
};

const MOMENTS: [Moment; 12] = [
    Missing,
    Invalid,
    Past,
    Forbidden,
    Unavailable,
    Late,
    Expires,
    Revoked,
    Unknown,
    OtherSubject,
    Away,
    Shutdown,
];

type Layer = AuthLayer<Tokens>;

/// A profile or a dialect, how its clients show a token, and the code of every moment. No token is
/// an empty one.
struct World {
    name: &'static str,
    layer: fn(Layer) -> Layer,
    shows: Shows,
    codes: [u16; 12],
}

enum Shows {
    /// As these subprotocols.
    Offer(fn(&str) -> Vec<String>),
    /// By saying this.
    Say(fn(&str) -> Vec<String>),
}

use Shows::{Offer, Say};

#[rustfmt::skip]
const WORLDS: &[World] = &[
    //                                                                    Missing     Past        Unavailable Expires     Unknown     Away
    //                                                                          Invalid     Forbidden   Late        Revoked     OtherSubject Shutdown
    World { name: "default", layer: |it| it, shows: Offer(bearer), codes:      [3000, 3000, 3000, 3003, 1013, 3008, 3000, 3003, 3000, 3003, 1013, 1001] },
    World { name: "jupyter", layer: jupyter, shows: Offer(jep), codes:         [3000, 3000, 3000, 3003, 1013, 3008, 3000, 3003, 3000, 3003, 1013, 1001] },
    World { name: "kubernetes", layer: kubernetes, shows: Offer(k8s), codes:   [3000, 3000, 3000, 3003, 1013, 3008, 3000, 3003, 3000, 3003, 1013, 1001] },
    World { name: "phoenix", layer: phoenix, shows: Offer(phx), codes:         [3000, 3000, 1001, 3003, 1013, 3008, 1001, 1001, 3000, 3003, 1013, 1001] },
    World { name: "own codes", layer: own, shows: Offer(bearer), codes:        [4001, 4001, 4004, 4002, 4006, 4003, 4004, 4005, 4001, 4002, 4006, 4007] },
    // A dialect without codes of its own has those of the profile.
    World { name: "first message", layer: first, shows: Say(token), codes:     [3000, 3000, 3000, 3003, 1013, 3008, 3000, 3003, 3000, 3003, 1013, 1001] },
    World { name: "own, first message", layer: own_first, shows: Say(token), codes: [4001, 4001, 4004, 4002, 4006, 4003, 4004, 4005, 4001, 4002, 4006, 4007] },
    World { name: "in band", layer: in_band, shows: Say(auth), codes:          [3000, 3000, 3000, 3003, 1013, 3008, 3000, 3003, 3000, 3003, 1013, 1001] },
    // Whoever logs in with nothing is told so, and stays until it is too late.
    World { name: "ddp", layer: ddp, shows: Say(login), codes:                 [3008, 3000, 3000, 3003, 1013, 3008, 3000, 3003, 3000, 3003, 1013, 1001] },
    World { name: "graphql-ws", layer: graphql, shows: Say(init), codes:       [4401, 4401, 4403, 4403, 1013, 4408, 4403, 4401, 4401, 4403, 1013, 1001] },
    World { name: "fhir", layer: fhir, shows: Say(bind), codes:                [1002, 1002, 1002, 1002, 1013, 3008, 3000, 3003, 1002, 1002, 1013, 1001] },
];

#[tokio::test(start_paused = true)]
async fn of_every_world() {
    let mut table = Table::new();
    for over in Over::BOTH {
        for world in WORLDS {
            for (moment, code) in MOMENTS.into_iter().zip(world.codes) {
                let end = world.end(over, moment).await;
                let (told, reason) = end.split_once(' ').unwrap_or((&end, ""));
                table.row((over, world.name, moment), code, told);
                assert_ne!(reason, "", "{} {moment:?}: {end}", world.name);
            }
        }
    }
    table.finish();
}

/// Where a refusal stays in HTTP, as it does unless the layer says otherwise: what the handshake is
/// answered with. Phoenix and Jupyter Server say 403 to everybody.
#[tokio::test(start_paused = true)]
async fn in_http() {
    #[rustfmt::skip]
    let rows = [
        ("default", [401, 401, 401, 403, 503]),
        ("jupyter", [403, 403, 403, 403, 503]),
        ("kubernetes", [401, 401, 401, 403, 503]),
        ("phoenix", [403, 403, 403, 403, 503]),
    ];
    let mut table = Table::new();
    for over in Over::BOTH {
        for (name, statuses) in rows {
            let world = WORLDS.iter().find(|world| world.name == name).unwrap();
            for (moment, status) in MOMENTS.into_iter().zip(statuses) {
                let live = live(moment, world.layer);
                let handshake = live.client(over).websocket("/echo");
                let refused = world.shows.request(handshake, moment.token());
                let told = refused.connect().await.unwrap_err().status().as_u16();
                table.row((over, name, moment), status, told);
            }
        }
    }
    table.finish();
}

impl World {
    /// How a socket ends, if this becomes of it.
    async fn end(&self, over: Over, moment: Moment) -> String {
        let live = live(moment, |auth| {
            let auth = (self.layer)(auth).refuse_in_band();
            match (moment, &self.shows) {
                // Nobody is late who has to show a token at once.
                (Late, Offer(_)) => auth.dialect(FirstMessage::token()),
                _ => auth,
            }
        });
        let mut socket = self.enter(&live, over, moment).await;
        if !moment.is_of_an_open_socket() {
            let end = end_of(&mut socket).await;
            assert_eq!(live.ledger.all(), [""; 0], "nobody was let in");
            return end;
        }
        let [session] = &live.sessions.list()[..] else {
            panic!("{} is not open: {}", self.name, end_of(&mut socket).await);
        };
        match moment {
            Expires => {
                live.pass(84 * SECOND).await;
                assert_eq!(live.sessions.len(), 1, "not before its time");
                live.pass(2 * SECOND).await;
            }
            Revoked => {
                let revoked = live.sessions.revoke(Revocation::subject("alice")).await;
                assert_eq!(revoked.unwrap(), 1);
            }
            OtherSubject => {
                let bob = Credential::bearer("bob");
                let renewed = live.sessions.renew(session.id, bob).await;
                assert_eq!(renewed, Err(RenewError::OtherSubject));
            }
            Unknown => {
                live.tokens.set("good", Err(VerifyError::Invalid));
                live.pass(11 * SECOND).await;
            }
            Away => {
                live.tokens.set("good", Err(VerifyError::unavailable()));
                live.pass(45 * SECOND).await;
            }
            Shutdown => {
                let shutdown = live.sessions.shutdown(5 * SECOND);
                let (left, end) = tokio::join!(shutdown, end_of(&mut socket));
                assert_eq!(left, 0);
                return end;
            }
            _ => unreachable!("of no open socket: {moment:?}"),
        }
        let end = end_of(&mut socket).await;
        settle().await;
        live.assert_balanced();
        end
    }

    /// Opens a socket, and shows the token of the moment.
    async fn enter(&self, live: &Live, over: Over, moment: Moment) -> TestSocket {
        let handshake = live.client(over).websocket("/echo");
        let request = self.shows.request(handshake, moment.token());
        let opened = request.connect().await;
        let mut socket = opened.unwrap_or_else(|told| panic!("{} {moment:?}: {told}", self.name));
        if let Say(say) = self.shows
            && moment != Late
        {
            for text in say(moment.token()) {
                // The last words of a client that is refused may come too late.
                let _ = socket.send(text).await;
                settle().await;
            }
        }
        settle().await;
        socket
    }
}

impl Moment {
    /// What the client shows.
    fn token(self) -> &'static str {
        match self {
            Missing | Late => "",
            Invalid => "wrong",
            Past => "past",
            Forbidden => "forbidden",
            Unavailable => "down",
            Expires | Revoked | Unknown | OtherSubject | Away | Shutdown => "good",
        }
    }

    fn is_of_an_open_socket(self) -> bool {
        self.token() == "good"
    }
}

impl Shows {
    fn request(&self, handshake: TestRequest, token: &str) -> TestRequest {
        match self {
            Offer(protocols) => handshake.protocols(protocols(token).iter().map(|it| &**it)),
            Say(_) => handshake,
        }
    }
}

/// A server that knows every token. Its sessions have a leeway of 25 seconds, and are asked about
/// again if that is what becomes of them.
fn live(moment: Moment, layer: impl FnOnce(Layer) -> Layer) -> Live {
    let live = Live::with(
        |sessions| match moment {
            Unknown | Away => sessions
                .recheck_every(10 * SECOND)
                .recheck_grace(30 * SECOND),
            _ => sessions.leeway(25 * SECOND),
        },
        layer,
    );
    live.grant("good", "alice", 60 * SECOND);
    live.grant("bob", "bob", 120 * SECOND);
    live.tokens.set("past", Err(VerifyError::Expired));
    live.tokens.set("forbidden", Err(VerifyError::Forbidden));
    live.tokens.set("down", Err(VerifyError::unavailable()));
    live
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

/// A code for each field, so that one in the place of another is seen.
fn own(auth: Layer) -> Layer {
    let mut codes = CloseCodes::registered();
    (codes.unauthorized, codes.forbidden, codes.timeout) = (4001, 4002, 4003);
    (codes.expired, codes.revoked) = (4004, 4005);
    (codes.unavailable, codes.shutdown) = (4006, 4007);
    auth.profile(Profile::default().close_codes(codes))
}

fn first(auth: Layer) -> Layer {
    auth.dialect(FirstMessage::token())
}

fn own_first(auth: Layer) -> Layer {
    first(own(auth))
}

fn in_band(auth: Layer) -> Layer {
    auth.dialect(InBandRenewal::new().or_first())
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

/// The name that a client offers beside its token, or alone; and the token's entry.
fn offer(name: &str, entry: &str, token: &str) -> Vec<String> {
    let entry = (!token.is_empty()).then(|| entry.to_owned());
    [Some(name.to_owned()), entry]
        .into_iter()
        .flatten()
        .collect()
}

fn bearer(token: &str) -> Vec<String> {
    let entry = format!("v1.bearer.{}", URL_SAFE_NO_PAD.encode(token));
    offer("v1.bearer", &entry, token)
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

/// A client that is not accepted may try three times.
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
