//! Claims: a verifier attaches a value of any type, and handlers and tickets use it.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::map_request;
use axum::response::Response;
use axum::routing::{any, post};
use portcullis::carrier::QueryCarrier;
use portcullis::identity::IdentityBuilder;
use portcullis::testing::Accepting;
use portcullis::ticket::{Binding, MintError};
use portcullis::ws::mint_handler;
use portcullis::{
    AuthLayer, Claims, Credential, GuardedUpgrade, Identity, Profile, Tickets, VerifyExt, any_of,
};
use serde::{Deserialize, Serialize};

use crate::support::{CapturedLog, HOUR, HttpVersion, MINUTE, Table, TestServer};

/// The claims of this application. They cannot be cloned.
#[derive(Debug, Deserialize, Serialize)]
struct Member {
    team: String,
}

/// Claims that no handler expects.
#[derive(Debug)]
struct Robot;

fn member(team: &str) -> Member {
    Member { team: team.into() }
}

fn alice() -> IdentityBuilder {
    Identity::builder("alice")
}

async fn required(member: Claims<Member>) -> String {
    member.team.clone()
}

async fn optional(member: Option<Claims<Member>>) -> String {
    member.map_or_else(|| "none".to_owned(), |member| member.team.clone())
}

fn routes() -> Router {
    Router::new()
        .route("/required", any(required))
        .route("/optional", any(optional))
}

/// The response of a request, without the body of a 500, and the ERROR lines in the log.
///
/// # Panics
///
/// If the body of a 500 names a type.
async fn get(app: &Router, version: HttpVersion, path: &str, token: &str) -> (String, Vec<String>) {
    let log = CapturedLog::default();
    let guard = log.capture();
    let client = version.client(app.clone());
    let response = client.get(path).bearer(token).send().await;
    drop(guard);
    let text = response.text();
    let answer = match response.status().as_u16() {
        500 => {
            let names_a_type = text.contains("Member") || text.contains("Robot");
            assert!(!names_a_type, "{text}");
            "500".to_owned()
        }
        status => format!("{status} {text}"),
    };
    (answer, log.errors())
}

/// The client receives a 500 without details. The log has one ERROR with the two types.
#[tokio::test]
async fn missing_or_wrong_claims_are_a_500_with_both_types_in_the_log() {
    let rows = [
        ("claims", "/required", "200 red", [""; 2]),
        ("claims", "/optional", "200 red", [""; 2]),
        ("no claims", "/required", "500", ["Member`", "none"]),
        ("no claims", "/optional", "200 none", [""; 2]),
        ("other claims", "/required", "500", ["Member`", "Robot`"]),
        ("other claims", "/optional", "500", ["Member`", "Robot`"]),
        ("no layer", "/required", "500", ["Identity", "AuthLayer"]),
        ("no layer", "/optional", "200 none", [""; 2]),
    ];
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        for (name, path, expected, error) in rows {
            let layer = |identity| AuthLayer::new(Accepting::token("t0k", identity));
            let app = match name {
                "claims" => routes().layer(layer(alice().claims(member("red")).build())),
                "no claims" => routes().layer(layer(alice().build())),
                "other claims" => routes().layer(layer(alice().claims(Robot).build())),
                _ => routes(),
            };
            let (actual, errors) = get(&app, version, path, "t0k").await;
            let row = (version, name, path);
            table.row(row, expected, actual);
            let count = usize::from(expected == "500");
            table.row((row, "errors"), count, errors.len());
            for part in error {
                let is_named = errors.iter().all(|line| line.contains(part));
                table.row((row, part, &errors), true, is_named);
            }
        }
    }
    table.finish();
}

#[tokio::test]
async fn verifiers_with_different_claims_combine() {
    let users = Accepting::token("user", alice().claims(member("red")).build());
    let robots = Accepting::token("robot", Identity::builder("r2").claims(Robot).build());
    async fn robot(_: Claims<Robot>) -> &'static str {
        "robot"
    }
    let app = routes()
        .route("/robot", any(robot))
        .layer(AuthLayer::new(any_of((robots, users))));
    let rows = [
        ("user", "/required", "200 red"),
        ("robot", "/robot", "200 robot"),
        ("user", "/robot", "500"),
        ("robot", "/required", "500"),
    ];
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        for (token, path, expected) in rows {
            let (actual, _) = get(&app, version, path, token).await;
            table.row((version, token, path), expected, actual);
        }
    }
    table.finish();
}

/// `VerifyExt::map` and a middleware build a new identity from the old one.
#[tokio::test]
async fn changed_identity_keeps_its_claims() {
    let with_scope = |identity: &Identity| identity.to_builder().scopes(["chat"]).build();
    let verifier = Accepting::token("t0k", alice().claims(member("red")).build());
    let mapped = verifier.clone().map(move |identity| with_scope(&identity));
    let add_scope = map_request(move |mut request: Request| {
        let changed = request.extensions().get().map(with_scope);
        request.extensions_mut().insert(changed.unwrap());
        async { request }
    });
    let apps = [
        routes().layer(AuthLayer::new(mapped)),
        routes().layer(add_scope).layer(AuthLayer::new(verifier)),
    ];
    for app in apps {
        for version in HttpVersion::ALL {
            let (answer, _) = get(&app, version, "/required", "t0k").await;
            assert_eq!(answer, "200 red", "{version:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn renewal_replaces_the_claims_of_an_open_session() {
    async fn team(upgrade: GuardedUpgrade) -> Response {
        upgrade.on_upgrade(async |mut socket| {
            while let Some(Ok(_)) = socket.recv().await {
                let identity = socket.identity();
                let team = identity.claims().map_or("none", |it: &Member| &it.team);
                let _ = socket.send(team.into()).await;
            }
        })
    }
    for version in HttpVersion::ALL {
        let routes = Router::new().route("/team", any(team));
        let server = TestServer::with_handlers(routes, |it| it, |auth| auth);
        let identity = |lifetime| server.identity("alice", lifetime).to_builder();
        let first = identity(MINUTE).claims(member("red")).build();
        let second = identity(HOUR).claims(member("blue")).build();
        let third = identity(2 * HOUR).claims(Robot).build();
        for (token, identity) in [("first", first), ("second", second), ("third", third)] {
            server.tokens.set(token, Ok(identity));
        }
        let mut socket = server.open(version, "/team", "first").await;
        socket.send("team?").await.unwrap();
        assert_eq!(socket.text().await, "red", "{version:?}");
        for (token, expected) in [("second", "blue"), ("third", "none")] {
            let id = server.sessions.list()[0].id;
            let renewed = server.sessions.renew(id, Credential::bearer(token)).await;
            assert!(renewed.is_ok(), "{renewed:?}");
            socket.send("team?").await.unwrap();
            assert_eq!(socket.text().await, expected, "{version:?}");
        }
    }
}

/// Claims of another type are an error of minting, which names the type.
#[tokio::test]
async fn ticket_contains_claims_of_the_registered_type() {
    type Build = fn() -> Identity;
    const PLAIN: Build = || alice().build();
    const MEMBER: Build = || alice().claims(member("red")).build();
    const ROBOT: Build = || alice().claims(Robot).build();
    let rows = [
        ("registered, claims", true, MEMBER, "red"),
        ("registered, no claims", true, PLAIN, "none"),
        ("registered, other claims", true, ROBOT, "error Robot`"),
        ("not registered, claims", false, MEMBER, "error Member`"),
        ("not registered, no claims", false, PLAIN, "none"),
    ];
    let mut table = Table::new();
    for version in HttpVersion::ALL {
        for (name, is_registered, identity, expected) in rows {
            let tickets = Tickets::in_memory(["/team"]);
            let tickets = Arc::new(match is_registered {
                true => tickets.with_claims::<Member>(),
                false => tickets,
            });
            let actual = match tickets.mint(&identity(), Binding::default()).await {
                Ok(ticket) => {
                    let profile = Profile::new("ticket").carrier(QueryCarrier::named("ticket"));
                    let auth = AuthLayer::new(Arc::clone(&tickets)).profile(profile);
                    let client = version.client(team_socket().layer(auth));
                    let target = format!("/team?ticket={}", ticket.expose_secret());
                    let mut socket = client.websocket(&target).connect().await.unwrap();
                    socket.text().await
                }
                Err(MintError::Claims(error)) => {
                    let error = error.to_string();
                    let types = ["Robot`", "Member`"];
                    let named = types.into_iter().filter(|name| error.contains(name));
                    format!("error {}", named.collect::<String>())
                }
                Err(other) => other.to_string(),
            };
            table.row((version, name), expected, actual);
        }
    }
    table.finish();
}

/// Sends the team of the claims, or `none`.
fn team_socket() -> Router {
    let open = async |member: Option<Claims<Member>>, upgrade: GuardedUpgrade| {
        upgrade.on_upgrade(async move |mut socket| {
            let team = member.map_or_else(|| "none".to_owned(), |it| it.team.clone());
            let _ = socket.send(team.into()).await;
        })
    };
    Router::new().route("/team", any(open))
}

#[tokio::test]
async fn mint_endpoint_logs_claims_that_are_not_registered() {
    let tickets = Arc::new(Tickets::in_memory(["/ws"]));
    let identity = alice().claims(member("red")).build();
    let app = Router::new()
        .route("/ticket", post(mint_handler(&tickets)))
        .layer(AuthLayer::new(Accepting::token("t0k", identity)));
    for version in HttpVersion::ALL {
        let log = CapturedLog::default();
        let guard = log.capture();
        let client = version.client(app.clone());
        let response = client.post("/ticket").bearer("t0k").send().await;
        drop(guard);
        assert_eq!(response.status(), 500, "{version:?}");
        assert!(!response.text().contains("Member"), "{}", response.text());
        let errors = log.errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains("with_claims"), "{errors:?}");
        assert!(errors[0].contains("Member`"), "{errors:?}");
    }
}
